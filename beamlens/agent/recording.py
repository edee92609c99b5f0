"""A run that was kept in a journal: its model's answers and its tools' results, to be given once more."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import RootModel

from beamlens.agent.loop import URGED
from beamlens.agent.tool import Tool, ToolError, ToolResult
from beamlens.agent.trust import TRUSTED, TrustMetadata
from beamlens.errors import LLMError
from beamlens.llm.client import Completion, Message, Request, Text, ToolCall, ToolOutput, ToolSpec

if TYPE_CHECKING:
    from beamlens.llm.client import LLMClient
    from beamlens_actors import AbortSignal

_MOST_SHOWN = 10


class Anything(RootModel[Any]):
    """Arguments as the model wrote them: whether they fit was found out when they were recorded."""


@dataclass(frozen=True, slots=True)
class RecordedTool(Tool):
    """A tool that is described as it was, and answers from a recording."""

    recorded: ToolSpec | None = None

    def spec(self) -> ToolSpec:
        """The tool as the model saw it."""
        return self.recorded or Tool.spec(self)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call of a recorded run and its result."""

    call: ToolCall
    output: ToolOutput


@dataclass(slots=True)
class Recording:
    """The messages of a recorded run, sorted by whose they are.

    Attributes:
        opening: What the user said first.
        answers: The model's messages, oldest first.
        later: What the user said after the answer of each number, counted from 1.
        exchanges: Calls with their results, in the order of the calls.
        urged: Whether the loop itself told the model to go on with a tool call, as it does where words end no run.
    """

    opening: tuple[Message, ...]
    answers: tuple[Message, ...]
    later: dict[int, tuple[Message, ...]]
    exchanges: tuple[Exchange, ...]
    urged: bool = False
    _by_id: dict[str, Exchange] = field(default_factory=dict)
    _by_words: dict[str, deque[Exchange]] = field(default_factory=dict)
    _assigned: dict[str, Exchange | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Recording:
        """Sort the messages of a run."""
        opening: list[Message] = []
        answers: list[Message] = []
        later: dict[int, tuple[Message, ...]] = {}
        calls: dict[str, ToolCall] = {}
        outputs: dict[str, ToolOutput] = {}
        urged = False
        for message in messages:
            if message.role == "assistant":
                answers.append(message)
                calls |= {block.id: block for block in message.content if isinstance(block, ToolCall)}
                continue
            found = {block.call_id: block for block in message.content if isinstance(block, ToolOutput)}
            outputs |= found
            if found:
                continue
            if answers and message.content and str(getattr(message.content[0], "text", "")).startswith(URGED):
                urged = True  # by the loop, which will do so again
            elif answers:
                later[len(answers)] = (*later.get(len(answers), ()), message)
            else:
                opening.append(message)
        exchanges = tuple(Exchange(call, outputs[name]) for name, call in calls.items() if name in outputs)
        recording = cls(tuple(opening), tuple(answers), later, exchanges, urged)
        for exchange in exchanges:
            recording._by_id[exchange.call.id] = exchange
            recording._by_words.setdefault(_words(exchange.call), deque()).append(exchange)
        return recording

    def assign(self, calls: Sequence[ToolCall]) -> None:
        """Find the recorded result of each call of an answer, in the order of the calls.

        The same call is found by its id. Another model's is found by its name and arguments: the same call again gets
        the next result that was recorded for it, and the last one after that.
        """
        with self._lock:
            for call in calls:
                exchange = self._by_id.get(call.id)
                if exchange is None or _words(exchange.call) != _words(call):
                    waiting = self._by_words.get(_words(call))
                    exchange = None if not waiting else waiting.popleft() if len(waiting) > 1 else waiting[0]
                self._assigned[call.id] = exchange

    def result(self, name: str, call_id: str) -> ToolResult:
        """The recorded result of a call.

        Raises:
            ToolError: There is none; says which calls of the tool were recorded.
        """
        with self._lock:
            exchange = self._assigned.get(call_id)
        if exchange is None:
            raise ToolError(f"{name}: this is a replay, and no such call was recorded. {self._known(name)}")
        output = exchange.output
        trust = TrustMetadata("untrusted", output.source, name) if output.source else TRUSTED
        kind = "tool_error" if output.is_error else ""
        return ToolResult(call_id, output.content, output.is_error, kind, trust, own=output.own)

    def matched(self, call_id: str) -> bool:
        """Whether a call has a recorded result."""
        return self._assigned.get(call_id) is not None

    def tools(self, specs: Sequence[ToolSpec], ending: str) -> list[Tool]:
        """The tools of the run, answering from the recording.

        Args:
            specs: How they were described.
            ending: The tool that ended the run, if one did.
        """
        return [
            RecordedTool(spec.name, self._answer(spec.name), Anything, ends_run=spec.name == ending, recorded=spec)
            for spec in specs
        ]

    def _answer(self, name: str) -> Callable[..., ToolResult]:
        def answer(_arguments: Any, call_id: str) -> ToolResult:
            return self.result(name, call_id)

        return answer

    def _known(self, name: str) -> str:
        known = [words for words in self._by_words if words.partition(" ")[0] == name]
        if not known:
            return f"{name} was not called at all."
        shown = "; ".join(known[:_MOST_SHOWN])
        return f"Recorded are: {shown}" + (f" and {len(known) - _MOST_SHOWN} more" if len(known) > _MOST_SHOWN else "")


class RecordedClient:
    """Gives the answers of a recorded run once more, in their order."""

    def __init__(self, recording: Recording, model: str) -> None:
        self._answers = recording.answers
        self._model = model
        self._given = 0

    @property
    def model(self) -> str:
        """The model that gave them."""
        return self._model

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """The next answer.

        Raises:
            LLMError: The recording ends here.
        """
        abort.raise_if_aborted()
        if self._given >= len(self._answers):
            text = f"the recording of {request.agent} ends after {len(self._answers)} answers"
            raise LLMError(text, kind="invalid_request", retryable=False)
        content = self._answers[self._given].content
        self._given += 1
        calls = tuple(block for block in content if isinstance(block, ToolCall))
        text = "".join(block.text for block in content if isinstance(block, Text))
        return Completion(text, calls, stop_reason="tool_use" if calls else "end_turn", model=self._model)


class Assigning:
    """A client whose calls find their recorded results.

    Attributes:
        count: Answers that it has given.
    """

    def __init__(self, client: LLMClient, recording: Recording) -> None:
        self.count = 0
        self._client = client
        self._recording = recording

    @property
    def model(self) -> str:
        """The client's model."""
        return self._client.model

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Ask the client, then look up what its calls are to get."""
        completion = self._client.complete(request, abort=abort)
        self._recording.assign(completion.tool_calls)
        self.count += 1
        return completion


def _words(call: ToolCall) -> str:
    try:
        arguments = json.dumps(call.arguments, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        arguments = repr(call.arguments)
    return f"{call.name} {arguments}"
