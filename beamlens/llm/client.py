"""The contract with a model: what is sent, what comes back, who can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal


INCOMPLETE = "cut off: the answer reached its largest length before this call was complete"
"""Instead of arguments of which half is missing: half of them could look like all of them."""


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text of either side.

    Attributes:
        text: The text, as it is: never fenced already.
        source: Where it is from, if it is from outside: then it is fenced when it is sent. ``""``: our own words.
    """

    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool.

    Attributes:
        id: The provider's id of the call; its result carries the same.
        name: The tool's name, as the model wrote it.
        arguments: The arguments as an object; whatever the model sent if it was no object (validation answers that).
        opaque: What the provider wants to see again with this call, unchanged; JSON, or ``None``.
    """

    id: str
    name: str
    arguments: Any
    opaque: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The answer to one tool call.

    Attributes:
        call_id: The call that it answers.
        content: The answer, as it is: never fenced already.
        is_error: Whether the call failed.
        source: Where it is from, if it holds text from outside: then it is fenced when it is sent.
        own: How many of its first characters are our own words, which stay outside of the fence.
    """

    call_id: str
    content: str
    is_error: bool = False
    source: str = ""
    own: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    content: tuple[Text | ToolCall | ToolOutput, ...]

    @classmethod
    def user(cls, text: str) -> Message:
        """A user turn of plain text."""
        return cls("user", (Text(text),))


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it: its name, what it does, the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    Attributes:
        system: System prompt; stable over a run, so providers may cache it.
        messages: The conversation, oldest first; the last one is the user's.
        tools: What the model may call.
        facts: For the offline analyst: the structured facts behind the messages. Never sent anywhere.
        max_tokens: Most tokens of the answer.
        timeout: Seconds for the whole call, retries included.
        agent: Name of the agent that asks, such as ``"logger"`` or ``"coordinator"``.
        trace_id: The run that it belongs to.
    """

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 2048
    timeout: float = 60.0
    agent: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    @property
    def total(self) -> int:
        """All tokens, cached ones included."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model answered.

    Attributes:
        text: Its text, if any.
        tool_calls: The tools that it asks for, in its order.
        usage: Tokens.
        stop_reason: Why it ended: ``"tool_use"``, ``"end_turn"``, ``"max_tokens"``, or the provider's own word.
        model: The model that answered; ``"offline"`` for the offline analyst.
        latency: Seconds of the call.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    stop_reason: str = "end_turn"
    model: str = ""
    latency: float = 0.0


class LLMClient(Protocol):
    """Somebody who answers: a provider's model, a script, or the offline analyst."""

    @property
    def model(self) -> str:
        """Name of the model, as it appears in alerts and telemetry; ``"offline"`` for the offline analyst."""
        ...

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Answer one request; blocks.

        Called on a task thread. Must return or raise soon after ``abort`` fires and within ``request.timeout``.

        A client that can tell its answer as it comes takes ``on_delta: OnDelta | None = None`` as well (see
        `beamlens.llm.deltas`), which is given only where somebody wants it. Once it told a piece it must not begin
        another answer: it raises instead, and whoever asked may ask again.

        Raises:
            LLMError: The call failed.
            beamlens_actors.Aborted: The signal fired first.
        """
        ...
