"""Counters are watched as rates: those that are declared, and those that look like one."""

from __future__ import annotations

from typing import Any

_LOOKED_AT = 40
_GROWN = 10
_RESET = 0.5


class Rate:
    """Turns a counter's values into its rate a second; passes anything else through.

    What has not fallen once in 40 values and grew in at least 10 of them counts as a counter. A value that falls to
    less than half is a reset: a gap. One that falls by less was no counter after all, unless it is declared one.
    """

    def __init__(self, *, declared: bool = False) -> None:
        self.declared = declared
        self.counting = declared
        self._last: tuple[float, float] | None = None
        self._seen = self._grown = 0
        self._fell = False

    def take(self, timestamp: float, value: float) -> tuple[float | None, bool]:
        """The value to watch, ``None`` for a gap, and whether it now means something else than before."""
        last, self._last = self._last, (timestamp, value)
        changed = self._classify(last, value)
        if not self.counting:
            return value, changed
        if last is None or changed or value < last[1] or timestamp <= last[0]:
            return None, changed
        return (value - last[1]) / (timestamp - last[0]), changed

    def _classify(self, last: tuple[float, float] | None, value: float) -> bool:
        if self.declared or last is None:
            return False
        if value < last[1]:
            reset = self.counting and value < _RESET * last[1]
            changed, self.counting = self.counting and not reset, reset
            self._seen, self._grown, self._fell = 0, 0, not reset
            return changed
        if self.counting or self._fell:
            return False
        self._seen += 1
        self._grown += value > last[1]
        if self._seen < _LOOKED_AT:
            return False
        self.counting = self._grown >= _GROWN
        if not self.counting:
            self._seen = self._grown = 0
        return self.counting

    def state(self) -> list[Any]:
        """What it learned, as JSON. Not its last value: the next process counts from zero."""
        return [self.counting, self._seen, self._grown, self._fell]

    def restore(self, state: list[Any]) -> None:
        """Go on from what `state` gave."""
        counting, seen, grown, fell = state
        self.counting = self.declared or bool(counting)
        self._seen, self._grown, self._fell = int(seen), int(grown), bool(fell)
