"""An answer of the Chat Completions API as it comes, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from beamlens.errors import LLMError
from beamlens.llm import openai_wire as wire
from beamlens.llm.client import Completion
from beamlens.llm.deltas import Delta, OnDelta
from beamlens.llm.failures import broken_off

# No standard has thoughts: DeepSeek, vLLM and others call them the first, OpenRouter and Ollama the second.
_THOUGHTS = ("reasoning_content", "reasoning")


def completion(stream: Any, on_delta: OnDelta, platform: str = "") -> Completion:
    """Tell the pieces, and return what the model answered.

    A server that knows nothing of streams answers in one piece; then none is told.

    Args:
        stream: The SDK's.
        on_delta: Takes the pieces.
        platform: Whose server it is.

    Raises:
        LLMError: The answer broke off, or see `wire.completion`.
    """
    if stream.response.headers.get("content-type", "").startswith("application/json"):
        return wire.completion(_at_once(stream.response.read()), platform)
    return wire.completion(_gathered(stream, on_delta), platform)


def refuses_to_stream(error: Exception) -> bool:
    """Whether a server said that it will not stream to us, or does not know what we say about it."""
    return getattr(error, "status_code", None) in (400, 422) and "stream" in str(error).lower()


def _at_once(body: bytes) -> Any:
    from openai.types.chat import ChatCompletion

    found = json.loads(body)
    if not isinstance(found, dict):
        raise LLMError("the answer is no completion", kind="response", retryable=True)
    return ChatCompletion.construct(**found)


def _gathered(chunks: Iterable[Any], on_delta: OnDelta) -> Any:
    answer = _Answer(on_delta)
    for chunk in chunks:
        answer.take(chunk)
    if answer.finish_reason is None:
        raise broken_off()
    return answer.response()


class _Answer:
    def __init__(self, on_delta: OnDelta) -> None:
        self._tell = on_delta
        self._model: str | None = None
        self._usage: Any = None
        self._text: list[str] = []
        self._refused = False
        self._calls: list[_Call] = []
        self._error: Any = None
        self.finish_reason: str | None = None

    def take(self, chunk: Any) -> None:
        self._model = getattr(chunk, "model", None) or self._model
        self._usage = getattr(chunk, "usage", None) or self._usage  # in a chunk of its own, or growing in each
        for choice in (getattr(chunk, "choices", None) or [])[:1]:
            self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
            self._error = getattr(choice, "error", None) or self._error
            if choice.delta is not None:
                self._grow(choice.delta)

    def response(self) -> Any:
        """As if it had come at once."""
        calls = [call.whole() for call in self._calls]
        message = SimpleNamespace(content="".join(self._text), refusal=self._refused, tool_calls=calls)
        choice = SimpleNamespace(message=message, finish_reason=self.finish_reason, error=self._error)
        return SimpleNamespace(choices=[choice], usage=self._usage, model=self._model)

    def _grow(self, delta: Any) -> None:
        self._refused = self._refused or bool(getattr(delta, "refusal", None))
        thoughts = next((found for name in _THOUGHTS if (found := getattr(delta, name, None))), None)
        if isinstance(thoughts, str):
            self._tell(Delta("thinking", thoughts))
        text = getattr(delta, "content", None)
        if isinstance(text, str) and text:
            self._text.append(text)
            self._tell(Delta("text", text))
        for piece in getattr(delta, "tool_calls", None) or []:
            self._grow_call(piece)

    def _grow_call(self, piece: Any) -> None:
        function = getattr(piece, "function", None)
        name, arguments = getattr(function, "name", None) or "", getattr(function, "arguments", None) or ""
        call = next((call for call in reversed(self._calls) if call.is_continued_by(piece, name)), None)
        begins = call is None
        if call is None:
            call = _Call(len(self._calls), piece)
            self._calls.append(call)
        call.name = call.name or name
        call.parts.append(arguments)
        if begins or arguments:
            self._tell(Delta("tool_call", arguments, call.number, call.id, call.name))


class _Call:
    """A tool call that grows.

    Attributes:
        number: How many calls came before.
        id: Its id; empty when it has none.
        name: Its tool's name.
        parts: The JSON text of its arguments, in pieces.
    """

    def __init__(self, number: int, piece: Any) -> None:
        self.number = number
        self.id: str = getattr(piece, "id", None) or ""
        self.name = ""
        self.parts: list[str] = []
        self._index = getattr(piece, "index", None)
        self._extra = getattr(piece, wire.EXTRA, None)

    def is_continued_by(self, piece: Any, name: str) -> bool:
        """Whether a piece is of this call. Some give all calls one index, some none: then another id is another."""
        call_id = getattr(piece, "id", None)
        if getattr(piece, "index", None) != self._index:
            return False
        return not (call_id and name and (call_id != self.id or (self._index is None and self.parts)))

    def whole(self) -> Any:
        function = SimpleNamespace(name=self.name, arguments="".join(self.parts))
        return SimpleNamespace(id=self.id, function=function, **{wire.EXTRA: self._extra})
