"""How many records of each level came in which second: exact, bounded, and cheap to count on."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque

from beamlens_actors import clock

_KEPT = 120
_SKEW = 2.0
_MOST_LEVELS = 16
_MOST_KEYS = 2 * _KEPT * _MOST_LEVELS
_STANDARD = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

Key = tuple[int, int]


class LevelCounts:
    """Counters by second and level, taken from any number of threads without a lock.

    ``next()`` of an ``itertools.count`` and single dict operations are atomic in CPython, which is all that it rests
    on. Whoever counts on the host's threads looks into `latest` first, and calls `take` for what is not there: so what
    is checked about a second and a level is checked once a second.

    Attributes:
        by_second: The counters.
        latest: Those of the second that was taken last, by level, after when it begins and ends.
    """

    def __init__(self) -> None:
        self.by_second: dict[Key, itertools.count[int]] = {}
        self.latest: tuple[float, float, dict[int, itertools.count[int]]] = (0.0, 0.0, {})
        self._levels: set[int] = set(_STANDARD)
        self._order: deque[Key] = deque()
        self._forgotten = 0
        self._forgetting = threading.Lock()

    def take(self, created: float, level: int) -> None:
        """Count one record of a second or a level that is not counted yet.

        Args:
            created: The record's own time, which is the host's: it may be of yesterday or of another machine. Then the
                record is counted now.
            level: Level number. Hosts can make levels without end; beyond 16 they count as the standard one below.
        """
        now = clock.time()
        try:
            second = int(created) if abs(created - now) <= _SKEW else int(now)
        except (ArithmeticError, TypeError, ValueError):
            second = int(now)
        key = second, self._known(level)
        counter = self.by_second.get(key)
        if counter is None:
            counter = self.by_second.setdefault(key, itertools.count())
            self._order.append(key)
            self._forget(int(now) - _KEPT)
        latest = self.latest  # looked at once: another thread may be in the next second already
        if latest[0] != second:
            latest = self.latest = (second, second + 1, {})
        latest[2][key[1]] = counter
        next(counter)

    def _known(self, level: int) -> int:
        if level in self._levels:
            return level
        if len(self._levels) < _MOST_LEVELS:
            self._levels.add(level)
            return level
        return max((known for known in _STANDARD if known <= level), default=logging.DEBUG)

    def _forget(self, oldest: int) -> None:
        if not self._forgetting.acquire(blocking=False):
            return  # somebody else does
        try:
            while self._order and (self._order[0][0] < oldest or len(self._order) > _MOST_KEYS):
                counter = self.by_second.pop(self._order.popleft(), None)
                if counter is not None:
                    self._forgotten += taken(counter)
        finally:
            self._forgetting.release()

    def counts(self, seconds: int, *, whole: bool = False) -> dict[int, int]:
        """Counts by level, levels without records left out.

        Args:
            seconds: Length of the window, at most 120.
            whole: Leave out the second that has only begun, so that the window is that long exactly.
        """
        last = int(clock.time()) - (1 if whole else 0)
        found: dict[int, int] = {}
        for level in sorted(self._levels.copy()):
            counters = (self.by_second.get((second, level)) for second in range(last - seconds + 1, last + 1))
            count = sum(taken(counter) for counter in counters if counter is not None)
            if count:
                found[level] = count
        return found

    def total(self) -> int:
        """All records that were ever counted."""
        return self._forgotten + sum(taken(counter) for counter in self.by_second.copy().values())


def taken(counter: itertools.count[int]) -> int:
    """How many numbers were taken from a counter; takes none."""
    return int(repr(counter)[6:-1])
