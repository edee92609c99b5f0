"""How surprising a magnitude is among the magnitudes that came before it."""

from __future__ import annotations

from math import log1p, sqrt

_OUTLIER = 10.0
_LOG_OUTLIER = 6.0
_TAIL = 0.03
_TAIL_KEEP = 0.95
_TAIL_MOST = 12.0
_TAIL_PRIOR = 8.0
_MOST = 4.0
_SETTLED = 5
_SPREAD_KNOWN = 20
_TAIL_KNOWN = 40

FIELDS = ("power", "mean", "variance", "edge", "excess", "weight")


class Surprise:
    """Turns magnitudes into how far each stands out, in constant time and memory.

    Three steps, each learned online. The magnitude is divided by its own root mean square. The logarithm of that is
    standardised by its own mean and spread, so that a metric whose peaks are wild is given a wide berth. What then
    lies beyond the 97th percentile is measured in mean excesses over it: the tail of a distribution whose end is not
    known is taken for exponential, the usual choice of peaks-over-threshold methods. Outliers are clipped before
    anything is learned from them.
    """

    __slots__ = FIELDS

    def __init__(self) -> None:
        self.power = self.mean = self.variance = self.edge = 0.0
        self.weight = _TAIL_PRIOR
        self.excess = _TAIL_PRIOR

    def learn(self, value: float, count: int, rate: float, least: float) -> float:
        """Take the next value, to be compared by its absolute value.

        Args:
            value: The value, of either sign.
            count: How many values came so far, this one included.
            rate: Weight of this one, for the root mean square.
            least: Least root mean square that is told from 0.

        Returns:
            The magnitude in units of the usual one.
        """
        size = abs(value)
        if count <= _SETTLED:
            self.power += (value * value - self.power) / count
            return 0.0
        usual = sqrt(self.power) + least
        ratio = size / usual
        if ratio > _OUTLIER:
            size = usual * _OUTLIER
        self.power += rate * (size * size - self.power)
        return ratio

    def judge(self, ratio: float, count: int, rate: float) -> float:
        """Mean excesses by which a magnitude lies in the tail: 0 in the usual range, at most 4.

        Args:
            ratio: What `learn` returned, or another ratio to the usual.
            count: As for `learn`.
            rate: Weight of this one, for the logarithm.
        """
        distance = log1p(ratio) - self.mean
        beyond = distance / sqrt(self.variance + 1e-9) if count > _SPREAD_KNOWN else 0.0
        if beyond > _LOG_OUTLIER:
            distance *= _LOG_OUTLIER / beyond
        self.mean += rate * distance
        self.variance = (1.0 - rate) * (self.variance + rate * distance * distance)
        over = beyond - self.edge
        step = 2.0 * max(0.002, 1.0 / (count + 5))
        if over <= 0.0:
            self.edge -= step * _TAIL
            return 0.0
        self.edge += step * (1.0 - _TAIL)
        if count <= _TAIL_KNOWN:
            return 0.0
        usual = self.excess / self.weight
        self.excess = self.excess * _TAIL_KEEP + min(over, _TAIL_MOST * usual)
        self.weight = self.weight * _TAIL_KEEP + 1.0
        return min(over / usual, _MOST)
