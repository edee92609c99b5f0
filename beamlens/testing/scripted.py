"""`ScriptedClient`: an LLM client that says what it was told to say."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from beamlens.llm.client import Completion, Request, ToolCall, Usage
from beamlens_actors import AbortSignal, clock

Answer = Completion | str | ToolCall | Sequence[ToolCall] | BaseException
Entry = Answer | Callable[[Request], Any]

_numbers = itertools.count(1)


def tool(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call for a script: ``tool("wait", ms=1000)``."""
    return ToolCall(f"call_{next(_numbers)}", name, arguments)


class ScriptExhausted(AssertionError):  # noqa: N818 - as the other errors are named
    """The client was asked more often than its script has answers."""


class ScriptedClient:
    """Answers with the entries of a script, one after the other.

    An entry is a `Completion`, a text, a tool call or several, an exception to raise, a function of the request that
    returns one of these, or `ScriptedClient.HANG`: it blocks until the call is aborted.

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

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Answer with the next entry."""
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
        usage = Usage(input_tokens=100, output_tokens=10)
        if isinstance(answer, str):
            return Completion(text=answer, usage=usage, model=self._model)
        calls = (answer,) if isinstance(answer, ToolCall) else tuple(answer)
        # The same entry may be used twice: each call needs an id of its own.
        calls = tuple(ToolCall(f"{call.id}_{len(self.requests)}", call.name, call.arguments) for call in calls)
        return Completion(tool_calls=calls, usage=usage, stop_reason="tool_use", model=self._model)
