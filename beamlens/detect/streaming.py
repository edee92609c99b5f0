"""A detector that knows nothing about the metric: it learns what is usual while it watches."""

from __future__ import annotations

import math
from typing import Any

from beamlens.detect.season import Season
from beamlens.detect.span import Span
from beamlens.detect.surprise import FIELDS, Surprise

FORMAT = 2
_LOG_MEMORY = 1000
_LEAST = 0.15
# Residual, step, level over `fast` and over `slow` values, and too quiet: the level tells most.
_WEIGHTS = (0.5, 0.5, 1.5, 0.5, 0.5)
_MOST = 4.0 * sum(_WEIGHTS)
_LARGEST = 1e150
_EARLY = 9
_LEARNED = 40


class StreamingDetector:
    """Scores each value of a metric by how unusual it is, learning online; causal, constant time and memory a value.

    Five views of the stream are judged, each against its own past (see `Surprise`): the distance from the prediction
    (a running mean, or what is usual at this hour of the day or week where that predicts better), the step from the
    last value, the level of the residual over `fast` and over `slow` values, and how much quieter than usual it is.
    Their surprises add up, so that several mild ones count as much as one that is strong. A metric that never moved
    and then moves is a surprise. Drift is learned over `memory` values. A value that is absurd is
    told and not learned from (see `Span`), so that it makes nothing deaf.

    After a high score the next ones are 0 for `rest` values, unless something is still more unusual: one trouble is
    told once. `surprise` is the score before that.

    Parameters were chosen on half of the files of the benchmark that `python -m benchmarks anomaly` runs.

    Attributes:
        surprise: How unusual the last value was, in [0, 1], whether or not something was told before.
    """

    def __init__(
        self, *, memory: int = 800, fast: int = 30, slow: int = 60, rest: int = 200, rise: float = 1.35
    ) -> None:
        """Begin to learn.

        Args:
            memory: Values over which the usual is learned.
            fast: Values of the faster level.
            slow: Values of the slower level.
            rest: Values for which a score must exceed the last one that was told.
            rise: By what factor it must exceed it.

        Raises:
            ValueError: One of them is out of range; names it.
        """
        for name, count in (("memory", memory), ("fast", fast), ("slow", slow)):
            if not _is_count(count) or count < 1:
                raise ValueError(f"{name} must be a whole number of values of at least 1, not {count!r}")
        if not _is_count(rest) or rest < 0:
            raise ValueError(f"rest must be a whole number of values of at least 0, not {rest!r}")
        if isinstance(rise, bool) or not isinstance(rise, (int, float)) or not 1.0 <= rise < math.inf:
            raise ValueError(f"rise must be a factor of at least 1, not {rise!r}")
        self._memory, self._fast, self._slow, self._rest, self._rise = memory, fast, slow, rest, float(rise)
        self._count = 0
        self._mean = self._last = self._near = self._far = self._noise = 0.0
        self._early: list[list[float]] = []
        self._span = Span(memory)
        self._season = Season()
        self._views = tuple(Surprise() for _ in _WEIGHTS)
        self._told, self._since = 0.0, 0
        self.surprise = 0.0

    def update(self, timestamp: float, value: float) -> float:
        """Take the next value.

        Args:
            timestamp: Seconds since the epoch; repeats and steps back are accepted.
            value: The metric's value. Not a number, or infinite: a gap, which teaches nothing and scores 0.

        Returns:
            The anomaly score in [0, 1]. The first 40 values score 0.

        Raises:
            TypeError: One of them is no number.
        """
        try:
            value, timestamp = float(value), float(timestamp)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"timestamp and value must be numbers, not {timestamp!r} and {value!r}") from None
        if not (math.isfinite(value) and math.isfinite(timestamp)):
            return 0.0
        value = max(-_LARGEST, min(_LARGEST, value))
        self.surprise = surprise = self._take(timestamp, value)
        self._since += 1
        if self._since > self._rest:
            self._told = 0.0
        if surprise <= _LEAST or surprise <= self._told * self._rise:
            return 0.0
        self._told, self._since = surprise, 0
        return surprise

    def _take(self, timestamp: float, value: float) -> float:
        """Judge it; the first values are kept until there are enough to tell an absurd one among them."""
        if self._count:
            known = self._span.cut(value)
            if known is not None:
                return self._judge(timestamp, known)
            return 1.0 if self._count >= _LEARNED else 0.0
        self._early.append([timestamp, value])
        if len(self._early) < _EARLY:
            return 0.0
        early, self._early = self._early, []
        self._span.begin([each for _, each in early])
        for at, each in early:
            if (known := self._span.cut(each)) is not None:
                self._judge(at, known)
        return 0.0

    def _judge(self, timestamp: float, value: float) -> float:
        self._count = count = self._count + 1
        if count == 1:
            self._mean = self._last = value
        mean = self._mean
        residual = self._season.residual(timestamp, value, mean)
        step = value - self._last
        self._last = value
        self._near += (residual - self._near) / self._fast
        self._far += (residual - self._far) / self._slow
        self._noise += (step * step - self._noise) / self._slow
        rate = 1.0 / min(self._memory, count)
        log_rate = 1.0 / min(_LOG_MEMORY, count)
        self._mean = mean + rate * (value - mean)
        least = 1e-9 * abs(mean) + 1e-12
        total = 0.0
        for view, seen, weight in zip(self._views, (residual, step, self._near, self._far), _WEIGHTS, strict=False):
            total += weight * view.judge(view.learn(seen, count, rate, least), count, log_rate)
        usual = self._views[1].power
        quiet = usual / (self._noise + 1e-9 * usual + 1e-300) if count > 5 else 0.0
        total += _WEIGHTS[4] * self._views[4].judge(quiet, count, log_rate)
        return total / _MOST

    def state(self) -> dict[str, Any]:
        """All that was learned, as JSON; a detector made from it goes on exactly as this one would."""
        return {
            "format": FORMAT,
            "options": {
                "memory": self._memory,
                "fast": self._fast,
                "slow": self._slow,
                "rest": self._rest,
                "rise": self._rise,
            },
            "numbers": [
                self._count,
                self._mean,
                self._last,
                self._near,
                self._far,
                self._noise,
                self._told,
                self._since,
                self.surprise,
            ],
            "views": [[getattr(view, field) for field in FIELDS] for view in self._views],
            "season": self._season.state(),
            "span": self._span.state(),
            "early": [list(each) for each in self._early],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> StreamingDetector:
        """Go on from what `state` gave.

        Raises:
            ValueError: It is of another format, which is named, or damaged.
        """
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise ValueError(f"the state of a detector has format {found!r}; this version reads format {FORMAT}")
        try:
            detector = cls(**state["options"])
            (
                detector._count,
                detector._mean,
                detector._last,
                detector._near,
                detector._far,
                detector._noise,
                detector._told,
                detector._since,
                detector.surprise,
            ) = state["numbers"]
            for view, values in zip(detector._views, state["views"], strict=True):
                for field, number in zip(FIELDS, values, strict=True):
                    setattr(view, field, number)
            detector._season = Season.from_state(state["season"])
            detector._span.restore(state["span"])
            detector._early = [[float(at), float(value)] for at, value in state["early"]]
        except (KeyError, TypeError, ValueError) as damaged:
            raise ValueError(f"the state of a detector is damaged: {damaged}") from None
        return detector


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
