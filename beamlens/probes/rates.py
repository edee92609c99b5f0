"""Counts events in windows, from any number of threads, without a lock."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

from beamlens_actors import clock

_KEPT = 360


class Rates:
    """Per-second counters of some classes of events; exact, bounded, and safe on threads that must not block.

    ``itertools.count`` and single dict operations are atomic in CPython, which is all that it rests on.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[int, Hashable], itertools.count[int]] = {}
        self._latest: dict[Hashable, int] = {}

    def add(self, what: Hashable, time: float | None = None) -> None:
        """Count one event of a class; there should be few classes.

        Args:
            what: The class.
            time: When, in seconds since the epoch; now by default.
        """
        second = int(clock.time() if time is None else time)
        try:
            next(self._counts[second, what])
        except KeyError:
            next(self._counts.setdefault((second, what), itertools.count()))
            self._forget(what, second)

    def _forget(self, what: Hashable, second: int) -> None:
        before = self._latest.get(what, second - _KEPT)
        self._latest[what] = second
        # Seconds between this one and the last that had an event fall out of the window together.
        for old in range(max(before - _KEPT, second - 3 * _KEPT), second - _KEPT + 1):
            self._counts.pop((old, what), None)

    def count(self, what: Hashable, seconds: int, *, whole: bool = False) -> int:
        """Events of a class in the last `seconds` seconds.

        Args:
            what: The class.
            seconds: Length of the window, at most 360.
            whole: Leave out the second that has only begun, so that the window is that long exactly.
        """
        now = int(clock.time())
        last = now - 1 if whole else now
        return sum(
            _value(counter)
            for second in range(last - seconds + 1, last + 1)
            if (counter := self._counts.get((second, what))) is not None
        )


def _value(counter: itertools.count[int]) -> int:
    # The next number of a count() is how many were taken; reading it takes none.
    text = repr(counter)
    return int(text[6:-1])
