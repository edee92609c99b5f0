"""The highs that a value came down from: what is usual for a saw-tooth, a cache, a pool under load."""

from __future__ import annotations

from collections import deque


class Peaks:
    """Remembers the last highs of a value from which it came down again by at least `drop`."""

    def __init__(self, drop: float, *, kept: int = 8, lifetime: int = 900) -> None:
        """Start without a past.

        Args:
            drop: How far a value must fall, in its unit, for the high before to count.
            kept: Most highs that are remembered.
            lifetime: Samples after which a high is forgotten.
        """
        self._drop = drop
        self._lifetime = lifetime
        self._highs: deque[tuple[int, float]] = deque(maxlen=kept)
        self._rising = True
        self._extreme: float | None = None
        self._at = 0

    def add(self, index: int, value: float) -> None:
        """Take the next value; `index` counts the samples."""
        if self._extreme is None or (value > self._extreme) == self._rising:
            self._extreme, self._at = value, index
        elif self._rising and value <= self._extreme - self._drop:
            self._highs.append((self._at, self._extreme))
            self._rising, self._extreme, self._at = False, value, index
        elif not self._rising and value >= self._extreme + self._drop:
            self._rising, self._extreme, self._at = True, value, index

    def usual(self, before: int, now: int) -> float | None:
        """The second highest of the highs before sample `before`; ``None`` while there are fewer than two.

        One high is a start-up or an accident; what was reached twice and given back is usual.
        """
        highs = sorted(value for at, value in self._highs if at < before and now - at <= self._lifetime)
        return highs[-2] if len(highs) >= 2 else None
