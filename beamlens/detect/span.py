"""Between what bounds a metric moves, and what is absurd beside that."""

from __future__ import annotations

from typing import Any

_ROOM = 100.0
_ROOM_OF_CONSTANTS = 1000.0
_BELIEVED = 3


class Span:
    """Keeps what is absurd from being learned; constant time and memory.

    Absurd is what lies outside of the known bounds by more than a hundred times their distance; where a metric never
    moved, by more than a thousand times its own size, or than a thousand. One or two such values within `memory` values
    are glitches; from the third on it is another scale, which is followed, as far at a time. Bounds are forgotten
    after one to two `memory` values.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._count = self._glitches = 0
        self._least = self._most = 0.0
        self._least_now = self._most_now = 0.0

    def begin(self, values: list[float]) -> None:
        """Take the first values: those in the middle of them tell the bounds, for any of them may be absurd."""
        ordered = sorted(values)
        edge = len(ordered) // 4
        self._least, self._most = ordered[edge], ordered[-1 - edge]
        self._least_now, self._most_now = self._least, self._most

    def cut(self, value: float) -> float | None:
        """The value as it may be learned, within the bounds and their room; `None` for a glitch."""
        least, most = self._least, self._most
        if not least <= value <= most:
            room = _ROOM * (most - least) or _ROOM_OF_CONSTANTS * max(abs(most), 1.0)
            if not least - room <= value <= most + room:
                self._glitches += 1
                if self._glitches < _BELIEVED:
                    return None
                value = min(max(value, least - room), most + room)
            self._least, self._most = min(least, value), max(most, value)
        if value < self._least_now:
            self._least_now = value
        elif value > self._most_now:
            self._most_now = value
        self._count += 1
        if self._count >= self._memory:
            self._count = self._glitches = 0
            self._least, self._most = self._least_now, self._most_now
            self._least_now = self._most_now = value
        return value

    def state(self) -> list[Any]:
        """What it learned, as JSON."""
        return [self._count, self._glitches, self._least, self._most, self._least_now, self._most_now]

    def restore(self, state: list[Any]) -> None:
        """Go on from what `state` gave."""
        self._count, self._glitches, self._least, self._most, self._least_now, self._most_now = state
