"""Percentiles of times in little memory: counts in bins that grow by 9 %, from a microsecond up."""

from __future__ import annotations

from math import log2

_BINS_AN_OCTAVE = 8
_LEAST = 1e-6
_MOST_BIN = 45 * _BINS_AN_OCTAVE


class Histogram:
    """Times in seconds; a percentile is off by at most 4.5 %."""

    __slots__ = ("bins", "count", "total")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Take a time."""
        number = min(_MOST_BIN, int(log2(seconds / _LEAST) * _BINS_AN_OCTAVE)) if seconds > _LEAST else 0
        self.bins[number] = self.bins.get(number, 0) + 1
        self.count += 1
        self.total += seconds

    def merge(self, other: Histogram) -> None:
        """Take all that another one has taken."""
        for number, count in other.bins.items():
            self.bins[number] = self.bins.get(number, 0) + count
        self.count += other.count
        self.total += other.total

    def percentile(self, share: float) -> float | None:
        """The time that `share` of the times (0 to 1) do not exceed; ``None`` without any."""
        left = share * self.count
        for number in sorted(self.bins):
            left -= self.bins[number]
            if left <= 0:
                return float(_LEAST * 2 ** ((number + 0.5) / _BINS_AN_OCTAVE))
        return None
