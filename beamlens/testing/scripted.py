"""`ScriptedClient`: an LLM client that says what it was told to say."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from beamlens.llm.client import Completion, Request, ToolCall, Usage
from beamlens.llm.deltas import Delta, OnDelta
from beamlens_actors import AbortSignal, clock

Piece = str | ToolCall | BaseException | Callable[[Request], Any]


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that comes in pieces; `streamed` makes one."""

    pieces: tuple[Piece, ...]


Answer = Completion | str | ToolCall | Sequence[ToolCall] | Streamed | BaseException
Entry = Answer | Callable[[Request], Any]

_numbers = itertools.count(1)
_USAGE = Usage(input_tokens=100, output_tokens=10)


def tool(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call for a script: ``tool("wait", ms=1000)``."""
    return ToolCall(f"call_{next(_numbers)}", name, arguments)


def streamed(*pieces: Piece) -> Streamed:
    """An answer for a script that comes in pieces: ``streamed("It ", "is fine.", tool("wait", ms=1000))``.

    Args:
        pieces: Words; tool calls; an exception, which breaks the answer off; a function of the request, which is called
            at that point; `ScriptedClient.HANG`, where no more comes until the call is aborted.
    """
    return Streamed(pieces)


class ScriptExhausted(AssertionError):  # noqa: N818 - as the other errors are named
    """The client was asked more often than its script has answers."""


class ScriptedClient:
    """Answers with the entries of a script, one after the other.

    An entry is a `Completion`, a text, a tool call or several, an exception to raise, `streamed` pieces, a function of
    the request that returns one of these, or `ScriptedClient.HANG`: it blocks until the call is aborted.

    Attributes:
        requests: The requests so far.
    """

    HANG: Callable[[Request], Any] = staticmethod(lambda _request: ScriptedClient.HANG)

    def __init__(self, script: Iterable[Entry], *, model: str = "scripted", repeat_last: bool = False) -> None:
        """Make a client.

        Args:
            script: The entries.
            model: The model's name that it gives.
            repeat_last: Whether the last entry is used again and again; otherwise `ScriptExhausted` is raised.
        """
        self._script = list(script)
        self._model = model
        self._repeat = repeat_last
        self._changed = threading.Condition()
        self.requests: list[Request] = []

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    def complete(self, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
        """Answer with the next entry. Only what is `streamed` is told in pieces, where somebody wants them."""
        with self._changed:
            index = len(self.requests)
            self.requests.append(request)
            self._changed.notify_all()
        if index >= len(self._script):
            if not self._repeat or not self._script:
                raise ScriptExhausted(f"call {index + 1} of a script with {len(self._script)} entries")
            index = len(self._script) - 1
        entry: Any = self._script[index]
        if callable(entry):
            entry = entry(request)
        if entry is ScriptedClient.HANG:
            abort.wait()
            abort.raise_if_aborted()
        if isinstance(entry, Streamed):
            text, calls = _spoken(entry.pieces, request, abort, on_delta or (lambda _delta: None))
            reason = "tool_use" if calls else "end_turn"
            return Completion(text, self._calls(calls), _USAGE, reason, self._model)
        return self._completion(entry)

    def wait_for_calls(self, count: int, timeout: float = 10.0) -> list[Request]:
        """Wait until it was asked `count` times; the requests so far.

        Raises:
            TimeoutError: It was not.
        """
        with self._changed:
            if not clock.wait_until(self._changed, lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} calls within {timeout:g} s, not {count}")
            return list(self.requests)

    def _completion(self, answer: Any) -> Completion:
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Completion):
            return answer
        if isinstance(answer, str):
            return Completion(text=answer, usage=_USAGE, model=self._model)
        calls = self._calls((answer,) if isinstance(answer, ToolCall) else answer)
        return Completion(tool_calls=calls, usage=_USAGE, stop_reason="tool_use", model=self._model)

    def _calls(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        # The same entry may be used twice: each call needs an id of its own.
        return tuple(ToolCall(f"{call.id}_{len(self.requests)}", call.name, call.arguments) for call in calls)


def _spoken(
    pieces: Iterable[Piece], request: Request, abort: AbortSignal, tell: OnDelta
) -> tuple[str, tuple[ToolCall, ...]]:
    words: list[str] = []
    calls: list[ToolCall] = []
    for piece in pieces:
        abort.raise_if_aborted()
        if isinstance(piece, str):
            words.append(piece)
            tell(Delta("text", piece))
        elif isinstance(piece, ToolCall):
            tell(Delta("tool_call", json.dumps(piece.arguments), len(calls), piece.id, piece.name))
            calls.append(piece)
        elif isinstance(piece, BaseException):
            raise piece
        elif piece is ScriptedClient.HANG:
            abort.wait()
        else:
            piece(request)
    abort.raise_if_aborted()
    return "".join(words), tuple(calls)
