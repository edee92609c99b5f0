"""What is known of a session at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from beamlens.agent.conversation import AgentState
from beamlens.llm.client import ToolOutput

if TYPE_CHECKING:
    from beamlens.agent.journal import JournalState

Health = Literal["healthy", "degraded", "unhealthy"]
Overall = Literal["healthy", "degraded", "unhealthy", "no_sessions"]
_WORST_FIRST: tuple[Health, ...] = ("unhealthy", "degraded", "healthy")

MOST_TOOL_ERRORS = 0.2
"""Share of tool results that may be errors in a healthy session."""


@dataclass(frozen=True, slots=True)
class SessionState(AgentState):
    """A session at one moment: what an agent has, and more.

    Attributes:
        journal: How its journal is.
        restarts: How often it was restarted after a crash.
    """

    journal: JournalState
    restarts: int


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Counts of a session.

    Attributes:
        session_id: The session.
        model: Who answers.
        running: Whether a run goes on.
        messages: Messages of the conversation.
        turns: Answers of the model.
        tool_calls: Results of tools.
        tool_errors: Those that are errors.
        subscribers: How many there are.
        queued: Messages that wait for the model to read them.
        restarts: How often it was restarted after a crash.
        uptime: Seconds since it was started here; restarts do not count.
        idle: Seconds since something was said or done.
    """

    session_id: str
    model: str
    running: bool
    messages: int
    turns: int
    tool_calls: int
    tool_errors: int
    subscribers: int
    queued: int
    restarts: int
    uptime: float
    idle: float

    @property
    def tool_error_rate(self) -> float:
        """Share of the results that are errors; 0 without any."""
        return self.tool_errors / self.tool_calls if self.tool_calls else 0.0


@dataclass(frozen=True, slots=True)
class SessionHealth:
    """How a session is, and why it is not healthy."""

    session_id: str
    status: Health
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HealthSummary:
    """How all sessions are: counts, and the worst of them."""

    total: int
    healthy: int
    degraded: int
    unhealthy: int
    overall: Overall

    @classmethod
    def of(cls, all_of_them: Iterable[SessionHealth]) -> HealthSummary:
        """Count."""
        found = [each.status for each in all_of_them]
        worst: Health | None = next((status for status in _WORST_FIRST if status in found), None)
        healthy, degraded, unhealthy = (found.count(status) for status in reversed(_WORST_FIRST))
        return cls(len(found), healthy, degraded, unhealthy, worst or "no_sessions")


def worst_first(all_of_them: Iterable[SessionHealth]) -> list[SessionHealth]:
    """Unhealthy ones first, then by id."""
    return sorted(all_of_them, key=lambda each: (_WORST_FIRST.index(each.status), each.session_id))


def count(state: SessionState, model: str, uptime: float, idle: float) -> SessionStats:
    """The counts of a state."""
    blocks = [block for message in state.messages for block in message.content]
    return SessionStats(
        session_id=state.session_id,
        model=model,
        running=state.running,
        messages=len(state.messages),
        turns=sum(message.role == "assistant" for message in state.messages),
        tool_calls=sum(isinstance(block, ToolOutput) for block in blocks),
        tool_errors=sum(isinstance(block, ToolOutput) and block.is_error for block in blocks),
        subscribers=state.subscribers,
        queued=state.steering + state.follow_ups,
        restarts=state.restarts,
        uptime=uptime,
        idle=idle,
    )


def judge(stats: SessionStats, journal: JournalState, *, alive: bool) -> SessionHealth:
    """How a session is."""
    if not alive:
        return SessionHealth(stats.session_id, "unhealthy", "it has ended, or is being restarted")
    reasons = []
    if stats.tool_error_rate > MOST_TOOL_ERRORS:
        reasons.append(f"{stats.tool_errors} of {stats.tool_calls} tool results are errors")
    if journal.status == "failing":
        reasons.append(f"the journal cannot be written: {journal.reason}")
    return SessionHealth(stats.session_id, "degraded" if reasons else "healthy", "; ".join(reasons))
