"""Steady growth: a leak as its numbers look."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Callable

from beamlens.detect.sensors import Reading, Severity

_QUIET = Reading(active=False)
_STEADY = 0.9
_STEADY_TO_STAY = 0.4
_LARGEST_STEP = 0.5


class Growth:
    """Active while a value grows steadily: a leak, not a step, a saw-tooth, a warm-up that flattens, or noise.

    Over a window of the last samples it asks: does almost every later sample exceed the earlier ones (Kendall's tau,
    the Mann-Kendall trend test's statistic); is the growth large enough, absolutely and relatively; is no single step
    most of it; does each half carry its part? The rate is the Theil-Sen slope.
    """

    def __init__(
        self,
        *,
        least: float,
        least_share: float = 0.0,
        unit: str = "",
        window: int = 11,
        bucket: float = 0.0,
        limit: Callable[[], float | None] = lambda: None,
        what: str = "it",
    ) -> None:
        """Watch for growth.

        Args:
            least: Least growth over the window, in the value's unit.
            least_share: Least growth over the window as a share of its first value.
            unit: Unit of the value, for the reason.
            window: Samples in the window, at least 6.
            bucket: Seconds of samples that are first reduced to their median; 0 takes each sample.
            limit: Gives the value at which things break, if there is one.
            what: What grows, as the reason calls it.
        """
        self._least = least
        self._least_share = least_share
        self._unit = unit
        self._samples: deque[tuple[float, float]] = deque(maxlen=max(6, window))
        self._bucket = bucket
        self._bucketed: list[tuple[float, float]] = []
        self._limit = limit
        self._what = what
        self._reading = _QUIET

    def update(self, timestamp: float, value: float) -> Reading:
        """See `Detector.update`."""
        sample = self._reduce(timestamp, value)
        if sample is None:
            return self._reading
        if self._samples and sample[0] <= self._samples[-1][0]:
            return self._reading
        self._samples.append(sample)
        if len(self._samples) == self._samples.maxlen:
            self._reading = self._judge()
        return self._reading

    def _reduce(self, timestamp: float, value: float) -> tuple[float, float] | None:
        if self._bucket <= 0:
            return timestamp, value
        held = self._bucketed
        held.append((timestamp, value))
        if timestamp - held[0][0] < self._bucket:
            if len(held) > 1000:  # a caller that feeds faster than any sensor does
                del held[1::2]
            return None
        self._bucketed = []
        return statistics.fmean(t for t, _ in held), statistics.median(v for _, v in held)

    def _judge(self) -> Reading:
        times = [t for t, _ in self._samples]
        values = [v for _, v in self._samples]
        grown = values[-1] - values[0]
        least = max(self._least, self._least_share * abs(values[0]))
        staying = self._reading.active
        if grown < least * (0.5 if staying else 1.0):
            return _QUIET
        if _tau(values) < (_STEADY_TO_STAY if staying else _STEADY):
            return _QUIET
        if not staying and (_largest_step(values) > _LARGEST_STEP * grown or _uneven(values)):
            return _QUIET
        return self._describe(times, values, grown)

    def _describe(self, times: list[float], values: list[float], grown: float) -> Reading:
        seconds = times[-1] - times[0]
        rate = _theil_sen(times, values)
        data = {"grown": grown, "seconds": seconds, "rate_per_s": rate, "value": values[-1]}
        unit = f" {self._unit}" if self._unit else ""
        reason = (
            f"{self._what} grew steadily from {values[0]:.4g} to {values[-1]:.4g}{unit} in {seconds:.0f} s "
            f"({rate:.3g}{unit}/s)"
        )
        severity: Severity = "warning"
        limit = self._limit()
        if limit is not None and rate > 0:
            left = max(0.0, limit - values[-1]) / rate
            data |= {"limit": limit, "seconds_to_limit": left}
            reason += f"; at this pace the limit of {limit:.6g}{unit} is reached in {_duration(left)}"
            severity = "critical" if left < 300 else "warning"
        return Reading(active=True, reason=reason, severity=severity, data=data)


def _tau(values: list[float]) -> float:
    """Kendall's tau of a series against time: 1 rises always, -1 falls always. Ties count nothing."""
    pairs = len(values) * (len(values) - 1) // 2
    score = sum((later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    return score / pairs


def _largest_step(values: list[float]) -> float:
    return max(later - earlier for earlier, later in itertools.pairwise(values))


def _uneven(values: list[float]) -> bool:
    """Whether one half of the window carries more than two thirds of the growth: it has only begun, or flattens."""
    first = (values[len(values) // 2] - values[0]) / (values[-1] - values[0])
    return not 1 / 3 <= first <= 2 / 3


def _theil_sen(times: list[float], values: list[float]) -> float:
    return statistics.median(
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if times[j] > times[i]
    )


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {name}"
    return f"about {seconds:.0f} seconds"
