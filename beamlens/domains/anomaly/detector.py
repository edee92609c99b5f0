"""The state machine over all metrics: learning, active, cooldown."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from beamlens.domains.anomaly.moved import Incident, Moved, order
from beamlens.domains.anomaly.options import Options
from beamlens.domains.anomaly.series import Series
from beamlens.metrics import Metric

State = Literal["learning", "active", "cooldown"]

MOST_SERIES = 300
"""Metrics that are watched at most, over all domains."""

_INCIDENTS = 20
_FORGOTTEN_AFTER = 86_400.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Said:
    """An event to be emitted: its name in the catalogue, its numbers, its metadata."""

    name: str
    measurements: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Detector:
    """One for a domain: takes what a collection brought, and says what is to be told. It outlives its collector.

    Fed by one thread, read from any.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.state: State = "learning"
        self.collections = 0
        self.refused = 0
        self.failures = 0
        self.collection_ms: float | None = None
        self.learned = 0.0
        self.process_age = 0.0
        self.last_at: float | None = None
        self.cooldown_since: float | None = None
        self.incident: Incident | None = None
        self.incidents: deque[Incident] = deque(maxlen=_INCIDENTS)
        self._triggers: deque[float] = deque(maxlen=1000)
        self._series: dict[tuple[str, str], Series] = {}
        self._lock = threading.RLock()

    # -- a collection ----------------------------------------------------------------------------------------

    def take(
        self, timestamp: float, values: Mapping[str, Mapping[str, Any]], declared: Mapping[str, Sequence[Metric]]
    ) -> list[Said]:
        """Take a collection, and move on.

        Args:
            timestamp: Seconds since the epoch.
            values: Domain to metric to value; what is no finite number is a gap.
            declared: Domain to what it declares.
        """
        with self._lock:
            self._age(timestamp)
            judged = self.state != "learning" and self.process_age * 1000 >= self.options.warm_up_ms
            before = {key for key, series in self._series.items() if series.row}
            for domain, metrics in values.items():
                known = {metric.name: metric for metric in declared.get(domain, ())}
                for name, value in metrics.items():
                    number = finite(value)
                    series = None if number is None else self._find(domain, str(name), known.get(name))
                    if number is not None and series is not None:
                        series.among = None if series.metric.of is None else finite(metrics.get(series.metric.of))
                        series.take(timestamp, number, judged=judged, age=self.process_age)
            self._forget(timestamp)
            said = [_anomaly(moved) for key, moved in self._begun() if key not in before]
            return said + self._move_on(timestamp)

    def _age(self, timestamp: float) -> None:
        """Count the time that was watched; a pause or a jump of the clock counts as one interval."""
        if self.last_at is not None:
            step = min(max(0.0, timestamp - self.last_at), 2 * self.options.interval)
            self.process_age += step
            self.learned += step
        self.last_at = timestamp
        self.collections += 1

    def _find(self, domain: str, name: str, metric: Metric | None) -> Series | None:
        series = self._series.get((domain, name))
        if series is None and len(self._series) < MOST_SERIES:
            series = self._series[domain, name] = Series(domain, metric or Metric(name), self.options)
        elif series is None:
            self.refused += 1
        elif metric is not None:
            series.declare(metric)
        return series

    def _forget(self, timestamp: float) -> None:
        for key in [key for key, one in self._series.items() if timestamp - one.seen > _FORGOTTEN_AFTER]:
            del self._series[key]

    def _begun(self) -> Iterator[tuple[tuple[str, str], Moved]]:
        for key, series in self._series.items():
            if (moved := series.begun()) is not None:
                yield key, moved

    def _move_on(self, timestamp: float) -> list[Said]:
        if self.state == "learning":
            if self.learned * 1000 < self.options.learning_duration_ms:
                return []
            self.state = "active"
            return [Said("anomaly.detector.learning_complete", {"elapsed_ms": self.learned * 1000})]
        if self.state == "cooldown":
            return self._cool(timestamp)
        return self._look(timestamp)

    def _cool(self, timestamp: float) -> list[Said]:
        if self.incident is not None and not any(self._away(one) for one in self.incident.moved):
            self.incident = None
        since = self.cooldown_since if self.cooldown_since is not None else timestamp
        if timestamp < since:  # the clock was set back: the wait goes on from there
            self.cooldown_since = since = timestamp
        if (timestamp - since) * 1000 < self.options.cooldown_ms:
            return []
        self.state, self.cooldown_since, self.incident = "active", None, None
        return [Said("anomaly.detector.cooldown_complete"), *self._look(timestamp)]

    def _away(self, moved: Moved) -> bool:
        series = self._series.get((moved.domain, moved.metric))
        return series is not None and series.row > 0

    def _look(self, timestamp: float) -> list[Said]:
        told = [moved for series in self._series.values() if (moved := series.tell(timestamp)) is not None]
        if not any(moved.severity != "info" for moved in told):
            return []
        along = [moved for _key, moved in self._begun() if self._together(moved, told)]
        for moved in along:
            self._series[moved.domain, moved.metric].told = True
        incident = Incident(timestamp, order(along))
        self.incident = incident
        self.incidents.append(incident)
        self.state, self.cooldown_since = "cooldown", timestamp
        said = Said(
            "anomaly.detector.escalation",
            {"anomaly_count": len(along)},
            {"anomalies": incident.sentence(), "severity": incident.severity, "trust": "untrusted"},
        )
        cooling = Said("anomaly.detector.cooldown_started", {"cooldown_ms": self.options.cooldown_ms})
        return [said, *self._trigger(timestamp, incident), cooling]

    def _together(self, moved: Moved, told: Sequence[Moved]) -> bool:
        """At the same time as one that is told: within as many collections as are required."""
        near = (self.options.consecutive_required + 1) * self.options.interval
        return any(abs(moved.since - one.since) <= near for one in told)

    def _trigger(self, timestamp: float, incident: Incident) -> list[Said]:
        if not self.options.auto_trigger:
            return []
        recent = self.triggers(timestamp)
        if recent >= self.options.max_triggers_per_hour:
            return [Said("anomaly.detector.trigger_rate_limited", {"triggers_in_last_hour": recent})]
        self._triggers.append(timestamp)
        asked = {"reason": "Detector anomaly escalation", "anomalies": incident.summary(), "trust": "untrusted"}
        return [Said("anomaly.detector.run_requested", metadata=asked)]

    # -- questions -------------------------------------------------------------------------------------------

    def triggers(self, timestamp: float) -> int:
        """Runs that were asked for in the hour before; what lies in the future, the clock having been set, counts."""
        with self._lock:
            while self._triggers and timestamp - self._triggers[0] >= _HOUR:
                self._triggers.popleft()
            return len(self._triggers)

    def series(self) -> list[Series]:
        """All metrics that are watched."""
        with self._lock:
            return list(self._series.values())

    def away(self) -> tuple[Moved, ...]:
        """The metrics that are away from their baselines now, the worst first."""
        with self._lock:
            return order([moved for _key, moved in self._begun()])

    def counts(self) -> dict[str, int]:
        """How many metrics are watched, away, and damped."""
        with self._lock:
            every = list(self._series.values())
            return {
                "metrics_watched": len(every),
                "metrics_away": sum(one.row > 0 for one in every),
                "consecutive_count": max((one.row for one in every), default=0),
                "alarms_suppressed": sum(one.suppressed for one in every),
            }

    # -- a restart -------------------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """What it remembers besides its metrics, as JSON."""
        with self._lock:
            return {
                "state": self.state,
                "learned": self.learned,
                "cooldown_since": self.cooldown_since,
                "triggers": list(self._triggers),
                "saved_at": self.last_at,
            }

    def restore(self, header: Mapping[str, Any], states: Iterable[Mapping[str, Any]]) -> None:
        """Go on from what `header` and the series' states gave; the process is young again.

        Raises:
            ValueError: It is damaged; nothing was taken.
        """
        try:
            state, learned = header["state"], float(header["learned"])
            since = None if header["cooldown_since"] is None else float(header["cooldown_since"])
            triggers = [float(at) for at in header["triggers"]]
            found: dict[tuple[str, str], Series] = {}
            for one in states:
                key = (str(one["domain"]), str(one["metric"]))
                found[key] = Series(key[0], Metric(key[1]), self.options)
                found[key].restore(dict(one))
        except (KeyError, TypeError, ValueError, AttributeError) as damaged:
            raise ValueError(f"it is damaged ({damaged})") from None
        if state not in ("learning", "active", "cooldown") or not math.isfinite(learned):
            raise ValueError(f"it is damaged (state {state!r}, learned {learned!r})")
        with self._lock:
            self.state, self.learned, self.cooldown_since = state, learned, since
            self._triggers.extend(triggers)
            self._series.update(list(found.items())[:MOST_SERIES])


def finite(value: object) -> float | None:
    """A finite number; `None` for all else, truth values too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _anomaly(moved: Moved) -> Said:
    return Said(
        "anomaly.detector.anomaly_detected",
        {"value": moved.value, "usual": moved.usual, "score": moved.score},
        {"domain": moved.domain, "metric": moved.metric, "severity": moved.severity, "trust": "untrusted"},
    )
