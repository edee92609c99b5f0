"""What was sent to a model: the last requests, after redaction."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from beamlens.llm.client import Message, Request, Text, ToolCall
from beamlens_actors import clock


class PromptLog:
    """The last requests that left the process, newest last; bounded in number and characters."""

    def __init__(self, capacity: int = 50, most_characters: int = 2_000_000) -> None:
        self._entries: deque[tuple[int, dict[str, Any]]] = deque()
        self._capacity = capacity
        self._most = most_characters
        self._characters = 0
        self._lock = threading.Lock()

    def add(self, request: Request, model: str) -> None:
        """Record a request as it is about to be sent."""
        entry = {
            "sent_at": datetime.fromtimestamp(clock.time(), UTC).isoformat(),
            "agent": request.agent,
            "trace_id": request.trace_id,
            "model": model,
            "system": request.system,
            "messages": [_plain(message) for message in request.messages],
            "tools": [tool.name for tool in request.tools],
        }
        size = len(request.system) + sum(len(str(message)) for message in entry["messages"])
        with self._lock:
            self._entries.append((size, entry))
            self._characters += size
            while len(self._entries) > 1 and (len(self._entries) > self._capacity or self._characters > self._most):
                self._characters -= self._entries.popleft()[0]

    def last(self, count: int = 10) -> list[dict[str, Any]]:
        """The last `count` requests, newest last."""
        with self._lock:
            return [entry for _, entry in list(self._entries)[-count:]] if count > 0 else []


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
