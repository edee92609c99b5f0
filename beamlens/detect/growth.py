"""Steady growth: a leak as its numbers look."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator

from beamlens.detect.peaks import Peaks
from beamlens.detect.sensors import Reading, Severity

_QUIET = Reading(active=False)
_STEADY = 0.9
_STEADY_LONG = 0.8
_STEADY_TO_STAY = 0.4
_LARGEST_STEP = 0.4
_STILL = 0.25
_DRIFT = 3.5
_FIRST_HALF = (1 / 3, 0.6)
_LAST_TO_MIDDLE = 0.65
_LONGER = 1.45
_CLOSEST = 0.5


class Growth:
    """Active while a value grows steadily: a leak, not a step, a saw-tooth, a warm-up that flattens, or noise.

    It looks at the last `window` samples, and at longer pasts up to four times that. One of them must show growth that

    - is large enough, absolutely and relatively;
    - goes on nearly all the time: Kendall's tau, the statistic of the Mann-Kendall trend test;
    - is a drift and not a random walk: the mean of the increments is three and a half standard errors above zero;
    - is no step, and does not flatten: the halves carry alike, and the end still grows;
    - leads beyond what the value reached, and gave back, twice before.

    The rate is the Theil-Sen slope.
    """

    def __init__(
        self,
        *,
        least: float,
        least_share: float = 0.0,
        unit: str = "",
        window: int = 9,
        bucket: float = 0.0,
        limit: Callable[[], float | None] = lambda: None,
        what: str = "it",
    ) -> None:
        """Watch for growth.

        Args:
            least: Least growth, in the value's unit: more than an ordinary warm-up.
            least_share: Least growth as a share of the value that it begins with.
            unit: Unit of the value, for the reason.
            window: Fewest samples that are judged, at least 6; four times as many are kept.
            bucket: Seconds of samples that are first reduced to their median; 0 takes each sample, but none that
                follows another one within half a second.
            limit: Gives the value at which things break, if there is one.
            what: What grows, as the reason calls it.
        """
        self._least = least
        self._least_share = least_share
        self._unit = unit
        self._window = max(6, window)
        self._samples: deque[tuple[float, float]] = deque(maxlen=4 * self._window)
        self._bucket = bucket
        self._bucketed: list[tuple[float, float]] = []
        self._limit = limit
        self._what = what
        self._reading = _QUIET
        self._judged = 0
        self._count = 0
        self._peaks = Peaks(0.4 * least)

    def update(self, timestamp: float, value: float) -> Reading:
        """See `Detector.update`."""
        if self._went_back(timestamp):
            self._samples.clear()
            self._bucketed.clear()
            self._reading = _QUIET
        sample = self._reduce(timestamp, value)
        if sample is None:
            return self._reading
        self._samples.append(sample)
        self._count += 1
        self._peaks.add(self._count, sample[1])
        self._reading = self._judge()
        return self._reading

    def _went_back(self, timestamp: float) -> bool:
        last = self._bucketed[-1:] or list(itertools.islice(reversed(self._samples), 1))
        return bool(last) and timestamp < last[0][0] - _CLOSEST

    def _reduce(self, timestamp: float, value: float) -> tuple[float, float] | None:
        if self._bucket <= 0:
            close = bool(self._samples) and timestamp - self._samples[-1][0] < _CLOSEST
            return None if close else (timestamp, value)
        held = self._bucketed
        held.append((timestamp, value))
        if timestamp - held[0][0] < self._bucket:
            if len(held) > 1000:  # a caller that feeds faster than any sensor does
                del held[1::2]
            return None
        self._bucketed = []
        return statistics.fmean(t for t, _ in held), statistics.median(v for _, v in held)

    def _judge(self) -> Reading:
        samples = list(self._samples)
        if self._reading.active:
            past = samples[-self._judged :]
            return self._describe(past) if self._goes_on([v for _, v in past]) else _QUIET
        for length in self._lengths(len(samples)):
            past = samples[-length:]
            if self._is_growth([v for _, v in past]):
                self._judged = length
                return self._describe(past)
        return _QUIET

    def _lengths(self, most: int) -> Iterator[int]:
        length = self._window
        while length < most:
            yield length
            length = math.ceil(length * _LONGER)
        if most >= self._window:
            yield most

    def _enough(self, values: list[float]) -> float:
        return max(self._least, self._least_share * abs(values[0]))

    def _goes_on(self, values: list[float]) -> bool:
        return values[-1] - values[0] >= 0.5 * self._enough(values) and _tau(values) >= _STEADY_TO_STAY

    def _is_growth(self, values: list[float]) -> bool:
        grown = values[-1] - values[0]
        if grown < self._enough(values):
            return False
        usual = self._peaks.usual(self._count - len(values) + 1, self._count)
        if usual is not None and values[-1] < usual + 0.5 * self._least:
            return False
        steps = [later - earlier for earlier, later in itertools.pairwise(values)]
        if max(steps) > _LARGEST_STEP * grown or steps[-1] < _STILL * grown / len(steps):
            return False
        if _drift(steps) < _DRIFT or _flattens(values):
            return False
        return _tau(values) >= (_STEADY if len(values) < 2 * self._window else _STEADY_LONG)

    def _describe(self, past: list[tuple[float, float]]) -> Reading:
        (begin, first), (end, last) = past[0], past[-1]
        rate = _theil_sen(past)
        data = {"grown": last - first, "seconds": end - begin, "rate_per_s": rate, "value": last}
        unit = f" {self._unit}" if self._unit else ""
        reason = (
            f"{self._what} grew steadily from {first:.4g} to {last:.4g}{unit} in {end - begin:.0f} s "
            f"({rate:.3g}{unit}/s)"
        )
        severity: Severity = "warning"
        limit = self._limit()
        if limit is not None and rate > 0:
            left = max(0.0, limit - last) / rate
            data |= {"limit": limit, "seconds_to_limit": left}
            reason += f"; at this pace the limit of {limit:.6g}{unit} is reached in {_duration(left)}"
            severity = "critical" if left < 300 else "warning"
        return Reading(active=True, reason=reason, severity=severity, data=data)


def _tau(values: list[float]) -> float:
    """Kendall's tau of a series against time: 1 rises always, -1 falls always. Ties count nothing."""
    pairs = len(values) * (len(values) - 1) // 2
    score = sum((later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    return score / pairs


def _drift(steps: list[float]) -> float:
    """The mean of the increments in standard errors: a random walk has none, whatever it has grown to."""
    spread = statistics.stdev(steps)
    return math.inf if spread <= 0 else statistics.fmean(steps) / spread * math.sqrt(len(steps))


def _flattens(values: list[float]) -> bool:
    """Whether the growth has only begun, or is about to end: its parts do not carry alike."""
    least, most = _FIRST_HALF
    first_half = (values[len(values) // 2] - values[0]) / (values[-1] - values[0])
    if not least <= first_half <= most:
        return True
    third = len(values) // 3
    middle, last = values[-1 - third] - values[-1 - 2 * third], values[-1] - values[-1 - third]
    return last < _LAST_TO_MIDDLE * middle


def _theil_sen(past: list[tuple[float, float]]) -> float:
    return statistics.median(
        (later - earlier) / (after - before)
        for (before, earlier), (after, later) in itertools.combinations(past, 2)
        if after > before
    )


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {name}"
    return f"about {seconds:.0f} seconds"
