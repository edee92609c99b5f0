"""The `anomaly` domain: what is unusual in the metrics of all other domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Reading, Sensor, SensorState
from beamlens.domains.anomaly import options as choices
from beamlens.domains.anomaly.collector import AnomalyStore
from beamlens.domains.anomaly.detector import MOST_SERIES, Detector
from beamlens.domains.anomaly.moved import Incident, Moved, moment, round_off
from beamlens.domains.anomaly.state_file import StateFile
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.sources import Source, Surroundings
from beamlens.evidence import Evidence, Strength
from beamlens.metrics import Metric
from beamlens_actors import clock
from beamlens_supervision import ChildSpec

_NOT_RUNNING = "nothing is collected: this domain is not watched"
_EXPLAINED = 3
_LINES = 3
_SHOWN = 20


class AnomalyDomain(Domain):
    """What is unusual in the metrics of the other watched domains, compared with what was learned of this process.

    Each metric is learned online, with drift and season. Those that leave their baselines together, and stay away for
    several collections in a row, are one escalation, followed by a cooldown. Unusual is not broken: a deploy, a batch
    job or more load move metrics as well. Look at what moved first and together, and at the domains that own it; say
    what is not known. While ``detector_state`` is learning, silence means nothing.
    """

    name: ClassVar[str] = "anomaly"
    title: ClassVar[str] = "Anomalies"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("detector_state", description="learning, active, cooldown after an escalation, or not_running"),
        Metric("domains_watched", "domains", description="domains that are collected from"),
        Metric("metrics_watched", "metrics", description=f"metrics that are learned, at most {MOST_SERIES}"),
        Metric("metrics_away", "metrics", description="away from their baselines in the last collection"),
        Metric("consecutive_count", "collections", description="longest such row of one metric"),
        Metric("escalated", description="1 while an escalation is in cooldown and has not passed"),
        Metric("learning_elapsed_ms", "ms", description="time that was learned from, restarts included"),
        Metric("triggers_in_last_hour", "runs", description="runs of the Coordinator that were asked for"),
        Metric("alarms_suppressed", "alarms", kind="counter", description="departures of metrics that flap"),
        Metric("collections", "collections", kind="counter", description="since the process started"),
        Metric("collection_failures", "failures", kind="counter", description="domains that raised or hung"),
        Metric("collection_ms", "ms", description="what the last collection took"),
    )

    def __init__(self, **options: Any) -> None:
        """Make it; see `Options` for its options.

        Raises:
            ConfigError: An option does not exist, or is out of range; names it.
        """
        self._detector = Detector(choices.make(options))
        self._around: Surroundings | None = None
        # Of an instance: the sensor shows what this detector found.
        self.sensors = (  # type: ignore[misc]
            Sensor("metrics_moved", "escalated", partial(_Escalated, self._detector), "metric_anomaly"),
        )

    def join(self, surroundings: Surroundings) -> None:
        """Be told what there is to watch; without, nothing is collected."""
        self._around = surroundings

    def children(self) -> Sequence[ChildSpec]:
        """The AnomalyStore, once it was told what there is to watch."""
        around = self._around
        if around is None:
            return []
        file = None if around.folder is None else StateFile(around.folder, around.instance)
        launcher = AnomalyStore.options(name="AnomalyStore")
        return [ChildSpec("AnomalyStore", launcher.start, (self._detector, around, file), shutdown=1.0)]

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.3 ms."""
        detector = self._detector
        running = self._around is not None and detector.collections > 0
        data: dict[str, Any] = {
            "detector_state": detector.state if running else "not_running",
            "domains_watched": len({series.domain for series in detector.series()}),
            **detector.counts(),
            "escalated": int(detector.incident is not None),
            "learning_elapsed_ms": round(detector.learned * 1000),
            "triggers_in_last_hour": detector.triggers(clock.time()),
            "collections": detector.collections,
            "collection_failures": detector.failures,
            "collection_ms": None if detector.collection_ms is None else round(detector.collection_ms, 1),
        }
        if data["collection_ms"] is None:
            why = _NOT_RUNNING if self._around is None else "the first collection has not ended"
            data["_unavailable"] = {"collection_ms": why}
        return data

    def sense(self) -> Mapping[str, float | None]:
        """Whether there is an escalation; next to nothing."""
        return {"escalated": float(self._detector.incident is not None)}

    def evidence(self, _sensor: SensorState, /) -> Sequence[Evidence]:
        """What moved, in numbers; what the owners say of it, and find when they look closer."""
        incident = self._detector.incident
        if incident is None:
            return []
        sources = self._sources()
        found = [_fact(one) for one in incident.moved[:_SHOWN]]
        for domain in dict.fromkeys(one.domain for one in incident.moved):
            if domain in sources:
                found += _excerpt(domain, sources[domain])
        for one in incident.moved[:_EXPLAINED]:
            if one.domain in sources:
                found += _explained(one, sources[one.domain])
        return found

    def excerpt(self, limit: int = 5) -> list[str]:
        """The metrics that are away now, and the latest escalations."""
        away = [f"{one.severity}: {one.sentence()}" for one in self._detector.away()]
        told = [f"escalated at {moment(each.at)}: {each.sentence()}" for each in reversed(self._detector.incidents)]
        return [*away[:limit], *told][:limit]

    def _sources(self) -> Mapping[str, Source]:
        return {} if self._around is None else self._around.sources()

    @callback
    def get_state(self) -> dict[str, Any]:
        """The state: detector_state; escalation (or null): at, severity, moved (at most 20). Next to nothing."""
        incident = self._detector.incident
        return {
            "detector_state": self.snapshot()["detector_state"],
            "escalation": None if incident is None else _view(incident),
        }

    @callback
    def get_status(self) -> dict[str, Any]:
        """The snapshot, the options, when learning or cooldown began, and cooldown_left_ms. About 0.5 ms; bounded."""
        detector = self._detector
        now, since = clock.time(), detector.cooldown_since
        left = None if since is None else max(0.0, detector.options.cooldown_ms - (now - since) * 1000)
        return {
            **self.snapshot(),
            "cooldown_started_at": None if since is None else moment(since),
            "cooldown_left_ms": None if left is None else round(left),
            "metrics_refused": detector.refused,
            "options": dataclasses.asdict(detector.options),
        }

    @callback
    def top(self, limit: int = 10) -> list[dict[str, Any]]:
        """The metrics that are away from their baselines now, the worst first; at most 50. About 0.3 ms."""
        return [one.view() for one in self._detector.away()[: clamp(limit)]]

    @callback
    def escalations(self, limit: int = 10) -> list[dict[str, Any]]:
        """The latest escalations of this process, newest first, at most 20: at, severity, moved. Next to nothing."""
        return [_view(each) for each in list(reversed(self._detector.incidents))[: clamp(limit)]]

    @callback
    def history(self, metric: str, limit: int = 10) -> Any:
        """One metric, as domain.metric: baseline, now, and its last departures, newest first. At most 20 of them."""
        known = {f"{one.domain}.{one.metric.name}": one for one in self._detector.series()}
        if metric not in known:
            near = [name for name in sorted(known) if metric and metric in name] or sorted(known)
            return error("not_found", f"metric={metric[:100]!r}; the choices are: {', '.join(near[:30]) or 'none yet'}")
        series = known[metric]
        usual, now = series.baseline(), series.begun()
        return {
            "metric": metric,
            "unit": series.metric.unit or None,
            "rate": series.rate,
            "last": None if series.last is None else round_off(series.last),
            "usual": None if usual is None else round_off(usual.middle),
            "spread": None if usual is None else round_off(usual.spread),
            "least": None if usual is None else round_off(usual.least),
            "most": None if usual is None else round_off(usual.most),
            "values_in_baseline": series.values_in_baseline,
            "away": None if now is None else now.view(),
            "departures": [one.view() for one in series.past()[: clamp(limit)]],
        }


class _Escalated:
    """Shows the sensors what the detector found: it knows more than the number it is fed."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def update(self, timestamp: float, value: float) -> Reading:  # noqa: ARG002 - as Detector has it
        """See `beamlens.detect.Detector`."""
        incident = self._detector.incident
        if incident is None:
            return Reading(active=False)
        data = {one.name: round_off(one.value) for one in incident.moved[:_SHOWN]}
        return Reading(active=True, reason=incident.sentence(), severity=incident.severity, data=data)


def _view(incident: Incident) -> dict[str, Any]:
    return {
        "at": moment(incident.at),
        "severity": incident.severity,
        "moved": [one.view() for one in incident.moved[:_SHOWN]],
    }


def _fact(moved: Moved) -> Evidence:
    text = f"{moved.sentence()} since {moment(moved.since)}, {moved.consecutive} collections in a row."
    return Evidence(text=text, cause="unknown", strength=Strength.CONTEXT, data=moved.view())


def _excerpt(domain: str, source: Source) -> list[Evidence]:
    try:
        lines = [str(line)[:300] for line in source.excerpt()][:_LINES]
    except Exception:  # noqa: BLE001 - foreign code; what moved is evidence without it
        return []
    return [Evidence(text=f"{domain}: {line}", cause="unknown", strength=Strength.CONTEXT) for line in lines]


def _explained(moved: Moved, source: Source) -> list[Evidence]:
    state = SensorState(
        name=moved.metric,
        metric=moved.metric,
        anomaly_type="metric_anomaly",
        severity=moved.severity,
        reason=moved.sentence(),
        since=clock.monotonic() - (clock.time() - moved.since),
        value=moved.value,
        data={"baseline": round_off(moved.usual)},
    )
    try:
        return list(source.explain(state))
    except Exception:  # noqa: BLE001 - foreign code
        return []
