"""A change of level against the value's own past."""

from __future__ import annotations

import statistics
from collections import deque

from beamlens.detect.sensors import Reading

_QUIET = Reading(active=False)
_MAD_TO_SIGMA = 1.4826
_SIGMAS = 6.0
_FEWEST = 10
_SOONER = 6


class Shift:
    """Active while a value stands well above its own baseline.

    The last `recent` samples are compared with a baseline of the samples before them: their median must exceed it by
    `least` in the value's unit, be `ratio` times as high, and lie six robust standard deviations (median absolute
    deviation) away. The baseline does not learn while active, so trouble that lasts does not become normal, until
    `adopt_after` seconds have passed; a sixth of them if there was no baseline yet, for what has been so from the
    beginning may be usual.
    """

    def __init__(
        self,
        *,
        least: float,
        ratio: float = 3.0,
        recent: int = 4,
        baseline: int = 120,
        prior: float = 0.0,
        unit: str = "",
        what: str = "it",
        adopt_after: float = 1800.0,
    ) -> None:
        """Watch for a rise of level.

        Args:
            least: Least difference from the baseline.
            ratio: Least quotient to the baseline.
            recent: Samples that must have risen.
            baseline: Most samples of the baseline.
            prior: What is taken for the baseline while there are fewer than 10 samples of it.
            unit: Unit of the value, for the reason.
            what: What rose, as the reason calls it.
            adopt_after: Seconds after which the new level becomes the baseline.
        """
        self._least = least
        self._ratio = ratio
        self._recent: deque[float] = deque(maxlen=recent)
        self._baseline: deque[float] = deque(maxlen=baseline)
        self._prior = prior
        self._unit = unit
        self._what = what
        self._adopt_after = adopt_after
        self._since: float | None = None

    def update(self, timestamp: float, value: float) -> Reading:
        """See `Detector.update`."""
        if len(self._recent) == self._recent.maxlen and self._since is None:
            self._baseline.append(self._recent[0])
        self._recent.append(value)
        if len(self._recent) < (self._recent.maxlen or 0):
            return _QUIET
        level = statistics.median(self._recent)
        base, spread = self._level()
        needed = max(base + self._least, base * self._ratio, base + _SIGMAS * spread)
        if level < (needed if self._since is None else base + (needed - base) * 0.5):
            self._since = None
            return _QUIET
        if self._since is None:
            self._since = timestamp
        elif timestamp - self._since >= (self._adopt_after if self._known() else self._adopt_after / _SOONER):
            self._since = None
            self._baseline.clear()
            self._baseline.extend([level] * _FEWEST)
            return _QUIET
        return self._describe(level, base)

    def _describe(self, level: float, base: float) -> Reading:
        unit = f" {self._unit}" if self._unit else ""
        if not self._known():
            reason = f"{self._what} is {level:.3g}{unit}; what is usual is not known yet"
            return Reading(active=True, reason=reason, data={"level": level})
        reason = f"{self._what} rose to {level:.3g}{unit} from a usual {base:.3g}{unit}"
        return Reading(active=True, reason=reason, data={"level": level, "baseline": base})

    def _known(self) -> bool:
        return len(self._baseline) >= _FEWEST

    def _level(self) -> tuple[float, float]:
        if not self._known():
            return self._prior, 0.0
        base = statistics.median(self._baseline)
        return base, _MAD_TO_SIGMA * statistics.median(abs(value - base) for value in self._baseline)
