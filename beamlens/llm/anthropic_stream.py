"""An answer of the Messages API as it comes, event by event."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from beamlens.llm import anthropic_wire as wire
from beamlens.llm.client import Completion
from beamlens.llm.deltas import Delta, OnDelta
from beamlens.llm.failures import broken_off


def completion(events: Iterable[Any], on_delta: OnDelta) -> Completion:
    """Tell the pieces, and return what the model answered.

    Arguments that are no JSON stay text, so that validation refuses them and the model learns why.

    Args:
        events: The SDK's, as they are sent: its own accumulation parses a call's arguments anew with each piece.
        on_delta: Takes the pieces.

    Raises:
        LLMError: The answer broke off, or see `wire.completion`.
    """
    answer = _Answer(on_delta)
    for event in events:
        answer.take(event)
        if answer.whole:
            return wire.completion(answer.message())
    raise broken_off()


class _Answer:
    def __init__(self, on_delta: OnDelta) -> None:
        self._tell = on_delta
        self._model = ""
        self._usage: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._blocks: dict[int, _Block] = {}
        self.whole = False

    def take(self, event: Any) -> None:
        match event.type:
            case "message_start":
                self._model = event.message.model
                self._count(event.message.usage)
            case "content_block_start":
                self._begin(event.index, event.content_block)
            case "content_block_delta":
                self._grow(self._blocks[event.index], event.delta)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason
                self._count(event.usage)
            case "message_stop":
                self.whole = True

    def message(self) -> Any:
        """As if it had come at once."""
        content = [block.whole() for block in self._blocks.values()]
        usage = SimpleNamespace(**self._usage)
        return SimpleNamespace(
            type="message", content=content, stop_reason=self._stop_reason, model=self._model, usage=usage
        )

    def _count(self, usage: Any) -> None:
        # The counts grow: those of the end are of the whole answer, and leave out what has not changed.
        for name in wire.COUNTS:
            count = getattr(usage, name, None)
            if isinstance(count, int):
                self._usage[name] = count

    def _begin(self, index: int, content: Any) -> None:
        calls = sum(block.kind == "tool_use" for block in self._blocks.values())
        block = self._blocks[index] = _Block(content, calls)
        if block.kind == "tool_use":
            self._tell(Delta("tool_call", "", calls, str(content.id), str(content.name)))
        elif block.kind == "text" and content.text:
            self._say(block, content.text)

    def _grow(self, block: _Block, delta: Any) -> None:
        match delta.type:
            case "text_delta" if delta.text:
                self._say(block, delta.text)
            case "thinking_delta" if delta.thinking:
                self._tell(Delta("thinking", delta.thinking))
            case "input_json_delta" if delta.partial_json:
                block.parts.append(delta.partial_json)
                given = block.content
                self._tell(Delta("tool_call", delta.partial_json, block.call, str(given.id), str(given.name)))

    def _say(self, block: _Block, text: str) -> None:
        follows = not block.parts and any(other.kind == "text" and other.parts for other in self._blocks.values())
        block.parts.append(text)
        self._tell(Delta("text", f"\n{text}" if follows else text))


class _Block:
    """A part of the answer.

    Attributes:
        kind: Its type.
        content: What its start said.
        call: How many tool calls came before.
        parts: Its text, or the JSON text of its input, in pieces.
    """

    def __init__(self, content: Any, call: int) -> None:
        self.kind = content.type
        self.content = content
        self.call = call
        self.parts: list[str] = []

    def whole(self) -> Any:
        said = "".join(self.parts)
        if self.kind == "text":
            return SimpleNamespace(type="text", text=said)
        if self.kind == "tool_use":
            given = self.content
            return SimpleNamespace(type="tool_use", id=given.id, name=given.name, input=_input(said, given.input))
        return SimpleNamespace(type=self.kind)


def _input(said: str, begun: Any) -> Any:
    if not said.strip():
        return begun  # a call without arguments comes without pieces
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return said
