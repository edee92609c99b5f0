"""What was sent to a model: the last requests, after redaction."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beamlens.agent.transcript import same_start
from beamlens.llm.client import Message, Request, Text, ToolCall, ToolOutput
from beamlens_actors import clock


@dataclass(frozen=True, slots=True)
class _Entry:
    """A request as it was sent. It is kept as it is, and shown as JSON only when somebody asks."""

    request: Request
    model: str
    sent_at: float
    size: int

    def plain(self) -> dict[str, Any]:
        request = self.request
        return {
            "sent_at": datetime.fromtimestamp(self.sent_at, UTC).isoformat(),
            "agent": request.agent,
            "trace_id": request.trace_id,
            "model": self.model,
            "system": request.system,
            "messages": [_plain(message) for message in request.messages],
            "tools": [tool.name for tool in request.tools],
        }


class PromptLog:
    """The last requests that left the process, newest last; bounded in number and characters."""

    def __init__(self, capacity: int = 50, most_characters: int = 2_000_000) -> None:
        self._entries: deque[_Entry] = deque()
        self._capacity = capacity
        self._most = most_characters
        self._characters = 0
        self._lock = threading.Lock()
        # The last one's messages and, for each, the characters up to its end: the next one of a run begins with them.
        self._messages: tuple[Message, ...] = ()
        self._sums: list[int] = []

    def add(self, request: Request, model: str) -> None:
        """Record a request as it is about to be sent."""
        with self._lock:
            size = len(request.system) + self._size(request.messages)
            self._entries.append(_Entry(request, model, clock.time(), size))
            self._characters += size
            while len(self._entries) > 1 and (len(self._entries) > self._capacity or self._characters > self._most):
                self._characters -= self._entries.popleft().size

    def _size(self, messages: tuple[Message, ...]) -> int:
        same = same_start(self._messages, messages)
        sums = self._sums[:same]
        for message in messages[same:]:
            sums.append(_size(message) + (sums[-1] if sums else 0))
        self._messages, self._sums = messages, sums
        return sums[-1] if sums else 0

    def last(self, count: int = 10) -> list[dict[str, Any]]:
        """The last `count` requests, newest last."""
        with self._lock:
            entries = list(self._entries)[-count:] if count > 0 else []
        return [entry.plain() for entry in entries]


_BLOCK_SIZE = 60
"""About the characters of a block as JSON, besides its text."""


def _size(message: Message) -> int:
    return sum(_BLOCK_SIZE + _text_size(block) for block in message.content)


def _text_size(block: Text | ToolCall | ToolOutput) -> int:
    if isinstance(block, Text):
        return len(block.text)
    if isinstance(block, ToolOutput):
        return len(block.content)
    return len(str(block.arguments))


def _plain(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_block(block) for block in message.content]}


def _block(block: Any) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, ToolCall):
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments}
    return {
        "type": "tool_result",
        "tool_use_id": block.call_id,
        "content": block.content,
        "is_error": block.is_error,
    }
