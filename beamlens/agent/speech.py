"""What was heard of an answer that is under way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from beamlens.llm.client import Message, Text, ToolCall
from beamlens.llm.deltas import Delta


class Speech:
    """The pieces of one answer. One thread adds, any may read what was there at some moment, see `SoFar`."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []  # is only ever added to

    def add(self, delta: Delta) -> SoFar:
        """Add a piece; how far it is with it."""
        self.deltas.append(delta)
        return SoFar(self, len(self.deltas))


@dataclass(frozen=True, slots=True)
class SoFar:
    """An answer as far as it was heard at some moment; put together only when it is asked for."""

    speech: Speech
    count: int

    def text(self) -> str:
        """Its words."""
        return self._of("text")

    def thoughts(self) -> str:
        """Its thoughts."""
        return self._of("thinking")

    def message(self) -> Message:
        """It as a message; the arguments of its calls are the JSON text that there is of them."""
        text = self.text()
        calls: dict[int, tuple[Delta, list[str]]] = {}
        for delta in self._deltas():
            if delta.kind == "tool_call":
                calls.setdefault(delta.index, (delta, []))[1].append(delta.text)
        said = (ToolCall(first.call_id, first.tool_name, "".join(parts)) for first, parts in calls.values())
        return Message("assistant", (*((Text(text),) if text else ()), *said))

    def broken_off(self) -> Message:
        """It as a message that goes no further: without calls, which nobody will make."""
        text = self.text()
        return Message("assistant", (Text(text),) if text.strip() else ())

    def _of(self, kind: str) -> str:
        return "".join(delta.text for delta in self._deltas() if delta.kind == kind)

    def _deltas(self) -> Iterator[Delta]:
        return iter(self.speech.deltas[: self.count])
