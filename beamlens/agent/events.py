"""What a run tells while it goes on. Every event carries the ids of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.speech import SoFar
    from beamlens.agent.tool import ToolResult
    from beamlens.agent.trust import Trust
    from beamlens.llm.client import Message
    from beamlens.llm.deltas import Delta


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Base of all.

    Attributes:
        run_id: The run, 16 hex digits.
        trace_id: Its trace, 32 hex digits.
    """

    type: ClassVar[str] = "event"
    lossy: ClassVar[bool] = False

    run_id: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class AgentStart(AgentEvent):
    """A run begins; the first event."""

    type: ClassVar[str] = "agent_start"


@dataclass(frozen=True, slots=True)
class TurnStart(AgentEvent):
    """A model call and its tools begin."""

    type: ClassVar[str] = "turn_start"
    iteration: int


@dataclass(frozen=True, slots=True)
class MessageStart(AgentEvent):
    """A message begins: the user's, the model's, or the results of a turn's tools.

    Attributes:
        role: ``user`` or ``assistant``.
        again: Whether it takes the place of an answer that has begun and broke off: the model was asked again, and
            what was heard before is void. Only then no end comes before.
    """

    type: ClassVar[str] = "message_start"
    role: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class MessageUpdate(AgentEvent):
    """The model said more; only from clients that tell as they go.

    Attributes:
        delta: What is new: words, thoughts, or a part of a tool call.
        so_far: The answer up to here.
    """

    type: ClassVar[str] = "message_update"
    lossy: ClassVar[bool] = True
    delta: Delta
    so_far: SoFar = field(compare=False, repr=False)

    @property
    def text(self) -> str:
        """What is new of its words; empty where thoughts or a tool call go on."""
        return self.delta.text if self.delta.kind == "text" else ""

    @property
    def partial(self) -> Message:
        """The message up to here; the arguments of its tool calls are the JSON text that there is of them."""
        return self.so_far.message()

    @property
    def thoughts(self) -> str:
        """What the model thought up to here, from those that tell. It is in no message."""
        return self.so_far.thoughts()


@dataclass(frozen=True, slots=True)
class MessageEnd(AgentEvent):
    """A message is complete: the moment to keep it. ``error`` says why it is not, if so."""

    type: ClassVar[str] = "message_end"
    message: Message
    error: str = ""


@dataclass(frozen=True, slots=True)
class ToolExecutionStart(AgentEvent):
    """A tool call is dispatched; those that wait for a free place come later."""

    type: ClassVar[str] = "tool_execution_start"
    call_id: str
    tool_name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolExecutionUpdate(AgentEvent):
    """A tool has a partial result. None comes after its end. ``trust``: of its tool, as its result will have."""

    type: ClassVar[str] = "tool_execution_update"
    lossy: ClassVar[bool] = True
    call_id: str
    tool_name: str
    partial: Any
    trust: Trust = "trusted"


@dataclass(frozen=True, slots=True)
class ToolExecutionEnd(AgentEvent):
    """A tool call has its one result. In the order in which they end."""

    type: ClassVar[str] = "tool_execution_end"
    call_id: str
    tool_name: str
    result: ToolResult


@dataclass(frozen=True, slots=True)
class TurnEnd(AgentEvent):
    """A turn is over, with the results in the order of its calls."""

    type: ClassVar[str] = "turn_end"
    iteration: int
    results: tuple[ToolResult, ...]


@dataclass(frozen=True, slots=True)
class AgentError(AgentEvent):
    """The run failed; `AgentEnd` follows."""

    type: ClassVar[str] = "error"
    reason: str


@dataclass(frozen=True, slots=True)
class AgentCancelled(AgentEvent):
    """The run was stopped from outside; `AgentEnd` follows."""

    type: ClassVar[str] = "cancelled"
    reason: Any


@dataclass(frozen=True, slots=True)
class AgentEnd(AgentEvent):
    """A run is over; the last event, whatever happened."""

    type: ClassVar[str] = "agent_end"
    outcome: RunOutcome


Listener = Callable[[AgentEvent], object]
