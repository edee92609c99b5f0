"""One batch of subagents: its book-keeping, without doing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.ref import AgentRef
    from beamlens.agent.registry import AgentKey
    from beamlens.agent.subagents import SubagentSpec
    from beamlens_actors import Future, Monitor, Timer

Finish = Literal["all", "first"]
SubagentStatus = Literal["completed", "error", "timeout", "aborted", "cancelled"]


@dataclass(frozen=True, slots=True)
class SubagentResult:
    """What became of a subagent.

    Attributes:
        key: Its key, ``(session_id, role, index)``.
        status: ``completed``; ``error``; ``timeout``: the batch's deadline came first; ``aborted``: the batch was
            aborted, or its coordinator or caller ended; ``cancelled``: another one was first.
        text: The model's last words.
        error: Why there are none.
        outcome: How its run ended, if it did by itself.
    """

    key: AgentKey
    status: SubagentStatus
    text: str = ""
    error: str = ""
    outcome: RunOutcome | None = None


@dataclass(slots=True)
class Member:
    """A subagent of a batch."""

    key: AgentKey
    spec: SubagentSpec
    ref: AgentRef | None = None
    monitor: Monitor | None = None
    result: SubagentResult | None = None
    gone: bool = False

    def settle(self, status: SubagentStatus, error: str = "", outcome: RunOutcome | None = None) -> bool:
        """Give it its result; only the first counts."""
        if self.result is not None:
            return False
        text = "" if outcome is None else outcome.text
        self.result = SubagentResult(self.key, status, text, error, outcome)
        return True


@dataclass(slots=True)
class Batch:
    """Subagents with one deadline."""

    number: int
    members: list[Member]
    finish: Finish
    answer: Future[list[SubagentResult]]
    timer: Timer | None = None
    owner: Monitor | None = None
    closing: bool = field(default=False)

    def settle_all(self, status: SubagentStatus, error: str) -> None:
        """Give those that have none this result."""
        for member in self.members:
            member.settle(status, error)

    def settled(self) -> bool:
        """Whether each has its result, or with ``finish="first"`` one completed."""
        results = [member.result for member in self.members]
        if self.finish == "first" and any(result is not None and result.status == "completed" for result in results):
            return True
        return all(result is not None for result in results)

    def gone(self) -> bool:
        """Whether nothing of it runs any more."""
        return all(member.gone for member in self.members)

    def close(self, stop: Callable[[Sequence[Member]], object]) -> None:
        """Every result stands: stop what still runs."""
        self.closing = True
        if self.timer is not None:
            self.timer.cancel()
        stop([member for member in self.members if not member.gone])

    def results(self) -> list[SubagentResult]:
        """In the order of the specs."""
        return [member.result for member in self.members if member.result is not None]
