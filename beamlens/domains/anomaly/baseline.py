"""What a metric's values were lately: their middle and their spread."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_FEWEST = 10
_HALF_A_DAY = 43_200.0
_ROOM = 2.0
_ABSURD = 100.0
_MAD_TO_SIGMA = 1.4826
_TAILS = 0.05
_TAILS_TO_SIGMA = 3.29  # from the 5th to the 95th percentile of a normal distribution


@dataclass(frozen=True, slots=True)
class Usual:
    """A baseline, frozen.

    Attributes:
        middle: The median.
        spread: Standard deviation, estimated so that outliers do not count; 0 where nothing moved.
        least: The smallest value.
        most: The largest value.
    """

    middle: float
    spread: float
    least: float
    most: float

    def z(self, value: float) -> float:
        """Standard deviations from the middle; infinite where nothing ever moved."""
        distance = value - self.middle
        slack = self.spread + 1e-9 * abs(self.middle)
        if slack > 0:
            return distance / slack
        return math.copysign(math.inf, distance) if distance else 0.0


class Baseline:
    """The last values; bounded."""

    def __init__(self, most: int) -> None:
        self._values: deque[float] = deque(maxlen=most)

    def add(self, value: float) -> None:
        """Take one more."""
        self._values.append(value)

    def replace(self, values: Iterable[float]) -> None:
        """Begin anew with these."""
        self._values.clear()
        self._values.extend(values)

    def values(self) -> list[float]:
        """The values, oldest first."""
        return list(self._values)

    def usual(self) -> Usual | None:
        """Middle and spread; ``None`` while there are fewer than ten values."""
        if len(self._values) < _FEWEST:
            return None
        ordered = sorted(self._values)
        middle = _percentile(ordered, 0.5)
        mad = statistics.median(abs(value - middle) for value in ordered)
        tails = _percentile(ordered, 1 - _TAILS) - _percentile(ordered, _TAILS)
        return Usual(middle, max(_MAD_TO_SIGMA * mad, tails / _TAILS_TO_SIGMA), ordered[0], ordered[-1])


class Reach:
    """Between what bounds a metric moved in the last 12 to 24 hours; constant memory."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._now: tuple[float, float] | None = None
        self._before: tuple[float, float] | None = None

    def add(self, timestamp: float, value: float) -> None:
        """Take one more."""
        if self._since is None or not 0 <= timestamp - self._since < _HALF_A_DAY:
            self._since, self._before, self._now = timestamp, self._now, None
        least, most = self._now or (value, value)
        self._now = min(least, value), max(most, value)

    def beyond(self, value: float) -> bool:
        """Whether a value lies outside by more than twice as much as the metric ever moved; not where it never did."""
        return self._clip(value, _ROOM) != value

    def clipped(self, value: float) -> float:
        """A value that is absurd, cut to what a detector can forget again."""
        return self._clip(value, _ABSURD)

    def _clip(self, value: float, room: float) -> float:
        known = [each for each in (self._before, self._now) if each is not None]
        if not known:
            return value
        least, most = min(each[0] for each in known), max(each[1] for each in known)
        room *= most - least
        return min(max(value, least - room), most + room) if room > 0 else value

    def state(self) -> list[Any]:
        """What it remembers, as JSON."""
        return [self._since, self._now, self._before]

    def restore(self, state: list[Any]) -> None:
        """Go on from what `state` gave."""
        since, *pairs = state
        self._since = None if since is None else float(since)
        self._now, self._before = (None if each is None else (float(each[0]), float(each[1])) for each in pairs)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the nearest two."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
