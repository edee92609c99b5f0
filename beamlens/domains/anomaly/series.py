"""One metric of one domain: learned online, and judged."""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import Any

from beamlens.detect import AlertGate, Severity, StreamingDetector
from beamlens.detect.gate import THRESHOLD
from beamlens.domains.anomaly.baseline import Baseline, Reach, Usual
from beamlens.domains.anomaly.moved import Moved
from beamlens.domains.anomaly.options import Options
from beamlens.domains.anomaly.rates import Rate
from beamlens.metrics import Metric

_HISTORY = 20
_HELD = 120
_FAR = 2.0
_FEW = 3.0


class Series:
    """Learns what is usual, and counts for how many collections in a row it is not.

    The streaming detector says that something is new; the baseline says from what to what, and whether it lasts. While
    a metric is away from its baseline, that stands still, and the values are held: after the learning time they are
    what is usual.

    Attributes:
        among: For a share: of how many the value that comes next is one.
    """

    def __init__(self, domain: str, metric: Metric, options: Options) -> None:
        self.domain, self.metric, self._options = domain, metric, options
        self._rate = Rate(declared=metric.kind == "counter")
        self._detector = StreamingDetector()
        self._baseline = Baseline(options.history)
        self._reach = Reach()
        self._gate = AlertGate(options.cooldown_ms / 1000, threshold=1.0)
        self.history: deque[Moved] = deque(maxlen=_HISTORY)
        self.last: float | None = None
        self.among: float | None = None
        self.seen = 0.0
        self.suppressed = 0
        self._restored = self._settling = False
        self._settle()

    def _settle(self) -> None:
        """Nothing is unusual (any more)."""
        self.row = self._back = 0
        self.told = self._damped = False
        self._since = 0.0
        self._usual: Usual | None = None
        self._sign = 0
        self._score = 0.0
        self._held: deque[float] = deque(maxlen=_HELD)

    def declare(self, metric: Metric) -> None:
        """Take what its domain says of it now: what was restored knows its name only."""
        self.metric = metric
        if metric.kind == "counter" and not self._rate.declared:
            known = self._rate.counting
            self._rate.declared = self._rate.counting = True
            if not known:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Its numbers mean something else from now on."""
        self._detector = StreamingDetector()
        self._baseline.replace(())
        self._reach = Reach()
        self._settle()

    def take(self, timestamp: float, number: float, *, judged: bool, age: float) -> None:
        """Learn the next value, and judge it if that is wanted.

        What an earlier process taught stands still during the warm-up, so that a deploy which makes things worse is
        told after it. For the learning time from then on only what is declared harmful is worth an alert: pools and
        caches of a new process are smaller, and that is no trouble.

        Args:
            timestamp: Seconds since the epoch.
            number: As the domain gave it, finite.
            judged: Whether it may be found unusual: not so while the process is young or everything is learned.
            age: Seconds for which this process has been watched.
        """
        self.seen = timestamp
        self._settling = self._restored and age * 1000 < self._options.learning_duration_ms
        value, other = self._rate.take(timestamp, number)
        if other:
            self._begin_anew()
        if value is None:
            return
        self.last = value
        if self._restored and age * 1000 < self._options.warm_up_ms:
            return
        self._detector.update(timestamp, self._reach.clipped(value))
        if self._usual is not None:
            self._go_on(timestamp, value)
        elif not (judged and self._begins(timestamp, value)):
            self._learn(timestamp, value)

    def _learn(self, timestamp: float, value: float) -> None:
        self._baseline.add(value)
        self._reach.add(timestamp, self._reach.clipped(value))

    def _new(self, value: float) -> bool:
        """Whether it surprises the detector, or lies far outside of all that was seen: wild metrics surprise less."""
        return self._detector.surprise >= THRESHOLD or self._reach.beyond(value)

    def _begins(self, timestamp: float, value: float) -> bool:
        if not self._new(value):
            return False
        usual = self._baseline.usual()
        if usual is None or not self._departs(usual, value):
            return False
        self._usual, self._since, self._sign = usual, timestamp, 1 if value > usual.middle else -1
        self._score, self.row = self._detector.surprise, 1
        self._held.append(value)
        return True

    def _departs(self, usual: Usual, value: float) -> bool:
        z = usual.z(value)
        if abs(z) <= self._options.z_threshold or usual.least <= value <= usual.most:
            return False
        harm = self.metric.harm
        return harm in ("both", "none") or (harm == "up") == (z > 0)

    def _go_on(self, timestamp: float, value: float) -> None:
        usual = self._usual
        assert usual is not None  # noqa: S101 - for the type checker; take() asked
        self._held.append(value)
        away = self._departs(usual, value) and (value > usual.middle) == (self._sign > 0)
        if not self.departed and not (away and self._new(value)):
            self._return(timestamp)
            return
        # As slow to say that it is over as that it has begun: a value that hovers is one departure.
        self._back = 0 if away else self._back + 1
        if self._back >= self._options.consecutive_required:
            self._return(timestamp)
            return
        self.row += 1
        self._score = max(self._score, self._detector.surprise)
        if timestamp - self._since >= max(self._options.learning_duration_ms, self._options.cooldown_ms) / 1000:
            self._baseline.replace(())
            self._return(timestamp)

    def _return(self, timestamp: float) -> None:
        held = list(self._held)
        self._settle()
        for each in held:
            self._learn(timestamp, each)

    @property
    def departed(self) -> bool:
        """Whether it has been away from its baseline for as many collections in a row as are required."""
        return self.row >= self._options.consecutive_required

    def begun(self) -> Moved | None:
        """What it does, from its first unusual value on; ``None`` while all is usual."""
        if self._usual is None or self.last is None:
            return None
        counting = self._rate.counting
        return Moved(
            domain=self.domain,
            metric=self.metric.name,
            unit=f"{self.metric.unit}/s" if counting else self.metric.unit,
            since=self._since,
            usual=self._usual.middle,
            value=self.last,
            z=max(-1e6, min(1e6, self._usual.z(self.last))),
            severity=self._severity(self._usual, self.last),
            score=self._score,
            consecutive=self.row,
            rate=counting,
        )

    def _severity(self, usual: Usual, value: float) -> Severity:
        metric = self.metric
        if metric.critical is not None and value >= metric.critical and not self._rate.counting:
            return "critical"
        change, rate = abs(value - usual.middle), self._rate.counting
        # One or two of something that is counted are an accident; a first one is always unusual.
        whole = not rate and metric.matters is None and all(each.is_integer() for each in (value, usual.middle))
        least = max(metric.matters or 0.0 if rate else metric.least_change, _FEW if whole else 0.0)
        if self.among is not None:  # a share: of ten, one is 10 %
            least = max(least, 100.0 * _FEW / self.among if self.among > 0 else math.inf)
        if metric.direction == "none" or change < least:
            return "info"
        if metric.declared:
            return "warning"
        if self._settling:
            return "info"
        # Nobody said which way is harmful: only what doubled, halved or began from nothing is worth a call.
        far = change >= abs(usual.middle) * (1.0 if value > usual.middle else 0.5)
        return "warning" if far and abs(usual.z(value)) >= _FAR * self._options.z_threshold else "info"

    def tell(self, timestamp: float) -> Moved | None:
        """What is to be told now: a departure that was not told before, and does not flap."""
        if not self.departed or self.told:
            return None
        if self._gate.update(timestamp, 1.0) is None:
            self.suppressed += not self._damped
            self._damped = True
            return None
        self.told = True
        moved = self.begun()
        if moved is not None:
            self.history.append(moved)
        return moved

    @property
    def rate(self) -> bool:
        """Whether what is watched is the rate of a counter."""
        return self._rate.counting

    def baseline(self) -> Usual | None:
        """What is usual now: what it was when it left, while it is away."""
        return self._usual or self._baseline.usual()

    @property
    def values_in_baseline(self) -> int:
        """How many values that is made of."""
        return len(self._baseline.values())

    def state(self) -> dict[str, Any]:
        """All that it learned, as JSON."""
        return {
            "domain": self.domain,
            "metric": self.metric.name,
            "seen": self.seen,
            "rate": self._rate.state(),
            "detector": self._detector.state(),
            "baseline": self._baseline.values(),
            "reach": self._reach.state(),
            "gate": self._gate.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            ValueError: It is damaged.
        """
        try:
            self._rate.restore(state["rate"])
            self._detector = StreamingDetector.from_state(state["detector"])
            self._baseline.replace(float(value) for value in state["baseline"])
            self._reach.restore(state["reach"])
            self._gate.restore(state["gate"])
            self.seen = float(state["seen"])
            self._restored = True
        except (KeyError, TypeError, ValueError) as damaged:
            raise ValueError(f"the state of {self.domain}.{self.metric.name} is damaged: {damaged}") from None

    def past(self) -> list[Moved]:
        """Its last departures that were told, newest first."""
        return list(islice(reversed(self.history), _HISTORY))
