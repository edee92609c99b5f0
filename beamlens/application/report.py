"""What was looked at, what was found, what is closest to a limit: also when all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.findings import Alert, Insight

if TYPE_CHECKING:
    from beamlens.domains import Domain


@dataclass(frozen=True, slots=True)
class Closest:
    """A metric and how near it is to its bound: ``share`` 1.0 is at it."""

    metric: str
    value: float
    bound: float
    unit: str

    @property
    def share(self) -> float:
        """Value over bound."""
        return self.value / self.bound if self.bound else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """An instance's findings so far. ``str(report)`` is for people, ``to_dict()`` for machines.

    Attributes:
        seconds: How long it has watched.
        watched: Names of the watchers.
        looks: Looks that have ended, of all watchers.
        active_sensors: ``watcher.sensor`` of those that are active.
        open_alerts: Alerts that are in no insight yet.
        insights: What alerts meant, oldest first.
        closest: Metrics nearest to a bound, the nearest first.
        snapshots: Each domain's numbers now.
        model: Who analyses.
    """

    seconds: float
    watched: tuple[str, ...]
    looks: int
    active_sensors: tuple[str, ...]
    open_alerts: tuple[Alert, ...]
    insights: tuple[Insight, ...]
    closest: tuple[Closest, ...]
    snapshots: Mapping[str, Mapping[str, Any]]
    model: str

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not (self.open_alerts or self.insights or self.active_sensors)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "healthy": self.healthy,
            "seconds": round(self.seconds, 1),
            "watched": list(self.watched),
            "looks": self.looks,
            "model": self.model,
            "active_sensors": list(self.active_sensors),
            "open_alerts": [alert.model_dump(mode="json") for alert in self.open_alerts],
            "insights": [insight.model_dump(mode="json") for insight in self.insights],
            "closest": [
                {"metric": c.metric, "value": c.value, "bound": c.bound, "unit": c.unit, "share": round(c.share, 4)}
                for c in self.closest
            ],
            "snapshots": {name: dict(data) for name, data in self.snapshots.items()},
        }

    def __str__(self) -> str:
        return "\n".join(report_lines(self.to_dict()))


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """For people; from what `Report.to_dict` gave, which may have come from another process."""
    watched = ", ".join(report["watched"]) or "nothing"
    lines = [
        f"Beamlens report: {'healthy' if report['healthy'] else 'trouble was found'}",
        f"  watched {watched} for {report['seconds']:.0f} s ({report['looks']} looks, analyst: {report['model']})",
    ]
    for insight in report["insights"]:
        lines.append(f"  insight ({insight['confidence']} confidence): {insight['summary']}")
        place = (insight["cause"] or {}).get("place")
        if place is not None:
            lines.append(f"    at {place['file']}:{place['line']}")
    lines += [
        f"  alert ({a['severity']}) {a['watcher']}/{a['anomaly_type']}: {a['observation']}"
        for a in report["open_alerts"]
    ]
    lines += [f"  active sensor: {name}" for name in report["active_sensors"]]
    lines += [
        f"  {'closest to a limit' if index == 0 else 'then'}: {c['metric']} is {c['value']:g} {c['unit']}, "
        f"{c['share']:.0%} of {c['bound']:g}"
        for index, c in enumerate(report["closest"][:3])
    ]
    return lines


def snapshots(domains: Mapping[str, Domain]) -> dict[str, dict[str, Any]]:
    """What each domain's numbers are now; a domain that raises says so instead."""
    taken: dict[str, dict[str, Any]] = {}
    for name, domain in domains.items():
        try:
            taken[name] = domain.snapshot()
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            taken[name] = {"_unavailable": {"snapshot": type(error).__name__}}
    return taken


def closest(snapshots: Mapping[str, Mapping[str, Any]], domains: Mapping[str, Domain]) -> tuple[Closest, ...]:
    """The metrics with an upper bound, the nearest to it first."""
    found = []
    for name, domain in domains.items():
        for metric in domain.metrics:
            bound = metric.high if metric.high is not None else metric.critical
            value = snapshots.get(name, {}).get(metric.name)
            if bound is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
                found.append(Closest(f"{name}.{metric.name}", float(value), bound, metric.unit))
    return tuple(sorted(found, key=lambda one: -one.share))
