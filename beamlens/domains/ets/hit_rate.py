"""Does a cache still answer? Its hit rate by windows, against what was usual."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

_WINDOW = 10.0
_FEWEST = 100
_KNOWN = 3
_KEPT = 30
_COLLAPSED = 0.25
_ADOPTED = 180


@dataclass(frozen=True, slots=True)
class Collapse:
    """The last window against the ones before it; rates are shares from 0 to 1.

    Attributes:
        usual: Median of the windows before.
        rate: Of the last window.
        lookups: In the last window.
        seconds: Length of the last window.
    """

    usual: float
    rate: float
    lookups: int
    seconds: float

    @property
    def drop_pct(self) -> float:
        """Points lost."""
        return max(0.0, 100 * (self.usual - self.rate))


class HitRate:
    """One cache. Windows with few lookups tell nothing; one that collapsed is not learnt from, for half an hour."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=_KEPT)
        self._begin: tuple[float, int, int] | None = None
        self._apart = 0
        self.last: Collapse | None = None

    def update(self, now: float, hits: int, misses: int) -> None:
        """Take the counters; ones that went back begin anew (the cache was cleared)."""
        if self._begin is None or hits < self._begin[1] or misses < self._begin[2] or now < self._begin[0]:
            self._begin = (now, hits, misses)
            self.last = None
            return
        seconds = now - self._begin[0]
        if seconds < _WINDOW:
            return
        hit, missed = hits - self._begin[1], misses - self._begin[2]
        self._begin = (now, hits, misses)
        if hit + missed < _FEWEST:
            self.last = None
            return
        self._judge(hit / (hit + missed), hit + missed, seconds)

    def _judge(self, rate: float, lookups: int, seconds: float) -> None:
        if len(self._rates) < _KNOWN:
            self._rates.append(rate)
            return
        usual = statistics.median(self._rates)
        self.last = Collapse(usual, rate, lookups, seconds)
        if rate >= usual - _COLLAPSED:
            self._rates.append(rate)
            self._apart = 0
            return
        self._apart += 1
        if self._apart >= _ADOPTED:
            self._rates.clear()
            self._rates.append(rate)
            self._apart, self.last = 0, None
