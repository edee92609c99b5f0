"""Lending a domain for a run: the watcher's own, or one whose stores run for as long as the run lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beamlens.findings.wire import utc_now
from beamlens_supervision import DynamicSupervisor, DynamicSupervisorRef

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain
    from beamlens.operator.sensing import Watching
    from beamlens_supervision import ChildSpec

logger = logging.getLogger("beamlens")


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Lent:
    """A domain, for one run.

    Attributes:
        domain: The domain.
        watching: The watcher's sensors; ``None`` when nobody watches.
        recording_since: When its stores began, ISO 8601; ``""`` for a watched one, which has its history.
        give_back: Ends what was begun for the run; may be called more than once, on any thread.
    """

    domain: Domain
    watching: Watching | None = None
    recording_since: str = ""
    give_back: Callable[[], object] = _nothing


Lender = Callable[[], Lent]
"""Makes or finds the domain; called on the run's own thread. What it raises is the run's failure."""

StartStores = Callable[[Sequence["ChildSpec"]], Callable[[], object]]
"""Starts a domain's stores and gives what ends them."""


def lend(domain: Domain, start: StartStores) -> Lent:
    """Start the stores of a domain that nobody watches.

    Args:
        domain: The domain.
        start: Starts them.
    """
    specs = list(domain.children())
    end = start(specs) if specs else _nothing
    lock, ended = threading.Lock(), False

    def give_back() -> None:
        nonlocal ended
        with lock:
            if ended:
                return
            ended = True
        for step in (end, domain.close):
            try:
                step()
            except Exception:
                logger.exception("domain %s could not be given back wholly", domain.name)

    return Lent(domain, recording_since=utc_now().isoformat(timespec="seconds"), give_back=give_back)


def stores(specs: Sequence[ChildSpec], name: str) -> DynamicSupervisorRef:
    """A supervisor over the stores of one run."""
    ref = DynamicSupervisor.start(max_restarts=10, max_seconds=10.0, name=name)
    try:
        for spec in specs:
            ref.start_child(spec)
    except BaseException:
        ref.stop()
        raise
    return ref


def alone(domain: Domain) -> Lender:
    """For an operator outside of an instance: its stores run under a supervisor of their own."""

    def start(specs: Sequence[ChildSpec]) -> Callable[[], object]:
        return stores(specs, f"stores:{domain.name}").stop

    return lambda: lend(domain, start)
