"""How an instance and its agents are at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from beamlens.coordinator import InboxStats
from beamlens.findings import AgentStatus, status
from beamlens_actors import ActorError, Registry

_ASK = 1.0


class InstanceStatus(NamedTuple):
    """An instance at one moment.

    Attributes:
        name: Its name.
        running: Whether it runs.
        model: Who analyses; ``"offline"`` for the offline analyst.
        watchers: One `AgentStatus` each.
        operators: One each.
        coordinator: The coordinator's, ``None`` while it is being restarted.
        inbox: The account of alerts: fired = delivered + merged + dropped + queued.
        insights: Insights that are kept.
        events_dropped: Telemetry events lost to a full queue.
    """

    name: str
    running: bool
    model: str
    watchers: tuple[AgentStatus, ...]
    operators: tuple[AgentStatus, ...]
    coordinator: AgentStatus | None
    inbox: InboxStats
    insights: int
    events_dropped: int


def ask_all(agents: Registry, kind: str, names: Iterable[str]) -> tuple[AgentStatus, ...]:
    """The status of each agent of a kind that answers within a second."""
    refs = [ref for name in names if (ref := agents.lookup((kind, name))) is not None]
    futures = []
    for ref in refs:
        try:
            futures.append(ref.ask(status, block=False, timeout=_ASK))
        except ActorError:  # ended a moment ago
            continue
    answers = []
    for future in futures:
        try:
            answers.append(future.get(timeout=_ASK))
        except Exception:  # noqa: BLE001, S112 - it ended, or is too busy: the others still count
            continue
    return tuple(answers)
