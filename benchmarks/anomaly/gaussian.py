"""The benchmark's own simple detector, as a peer: the tail of a normal distribution over a window."""

from __future__ import annotations

import math
from collections import deque


class WindowedGaussian:
    """One minus the tail probability of a value under the mean and deviation of a window.

    As the benchmark describes it: 6400 rows, moved on by 100 at a time.
    """

    def __init__(self, window: int = 6400, step: int = 100) -> None:
        """Begin with an empty window."""
        self._values: deque[float] = deque(maxlen=window)
        self._coming: list[float] = []
        self._step = step
        self._mean, self._deviation = 0.0, 1.0
        self._sum = self._squares = 0.0

    def update(self, _timestamp: float, value: float) -> float:
        """Score a value, then learn it."""
        score = 0.0
        if self._values:
            score = 1.0 - 0.5 * math.erfc(abs(value - self._mean) / self._deviation / math.sqrt(2.0))
        if len(self._values) < (self._values.maxlen or 0):
            self._values.append(value)
            self._sum += value
            self._squares += value * value
            self._refit()
        else:
            self._coming.append(value)
            if len(self._coming) >= self._step:
                self._values.extend(self._coming)
                self._coming.clear()
                self._sum = math.fsum(self._values)
                self._squares = math.fsum(value * value for value in self._values)
                self._refit()
        return score

    def _refit(self) -> None:
        count = len(self._values)
        self._mean = self._sum / count
        self._deviation = math.sqrt(max(0.0, self._squares / count - self._mean**2)) or 1e-6
