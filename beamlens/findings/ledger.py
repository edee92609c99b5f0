"""What one run has seen, and what its alerts' numbers are checked against (design D6)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.evidence import Evidence
    from beamlens.findings.alert import Alert
    from beamlens.findings.facts import Pool, Verdict
    from beamlens.findings.snapshot import Snapshot
    from beamlens.metrics import Metric

_RESULTS_KEPT = 50
_SNAPSHOTS_KEPT = 50
_MOST_REFUSALS = 3


class Ledger:
    """The evidence of one run; used by its tools on several threads.

    What a model said itself (thoughts, notes, alerts whose numbers were not found) is no evidence.
    """

    def __init__(self) -> None:
        self._results: deque[Any] = deque(maxlen=_RESULTS_KEPT)
        self._snapshots: deque[Snapshot] = deque(maxlen=_SNAPSHOTS_KEPT)
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def saw(self, result: Any) -> None:
        """Keep what a tool returned."""
        with self._lock:
            self._results.append(result)

    def saw_snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep snapshots that were taken or read in this run."""
        with self._lock:
            self._snapshots.extend(snapshots)

    def may_refuse(self, anomaly_type: str) -> bool:
        """Whether an alert may go back to the model: once for each type, and three times in a run."""
        with self._lock:
            if anomaly_type in self._refused or len(self._refused) >= _MOST_REFUSALS:
                return False
            self._refused.add(anomaly_type)
            return True

    def check(
        self,
        text: str,
        *,
        cited: Iterable[Snapshot],
        metrics: Iterable[Metric],
        sensors: Iterable[SensorState],
        evidence: Iterable[Evidence],
        alerts: Iterable[Alert],
        reason: str,
    ) -> Verdict:
        """Look for the numbers of a text in all that the run has.

        Args:
            text: Observation and context.
            cited: The snapshots that the alert cites.
            metrics: Their units and thresholds.
            sensors: Those that are active.
            evidence: What closer looks found.
            alerts: Earlier ones; those count whose numbers were found.
            reason: Why the run began.
        """
        # A process that never has an alert does without.
        from beamlens.findings.facts import Pool, check

        metrics = list(metrics)
        pool = Pool({metric.name: metric.unit for metric in metrics})
        with self._lock:
            results, seen = list(self._results), list(self._snapshots)
        snapshots = {snapshot.id: snapshot for snapshot in (*cited, *seen)}
        pool.put(float(len(snapshots)))
        for metric in metrics:
            pool.add_text(metric.description)
        for snapshot in snapshots.values():
            pool.add_snapshot(snapshot.data, snapshot.captured_at.timestamp())
        _add_bounds(pool, metrics, snapshots.values())
        _add_sensors(pool, list(sensors), list(evidence))
        for words in (reason, *(alert.observation for alert in alerts if alert.numbers_verified)):
            pool.add_text(words)
        for result in reversed(results):
            pool.add(result)
        return check(text, pool)


def _add_bounds(pool: Pool, metrics: Iterable[Metric], snapshots: Iterable[Snapshot]) -> None:
    values = [snapshot.data for snapshot in snapshots]
    for metric in metrics:
        read = [value for data in values if isinstance(value := data.get(metric.name), int | float)]
        for bound in (metric.low, metric.high, metric.critical):
            if bound is not None:
                for value in read[-1:] or [bound]:
                    pool.add_bound(metric.name, bound, value)


def _add_sensors(pool: Pool, sensors: list[SensorState], evidence: list[Evidence]) -> None:
    pool.put(float(len(sensors)))
    for sensor in sensors:
        pool.add({sensor.metric: sensor.value, **sensor.data})
        if (bound := sensor.data.get("threshold")) is not None:
            pool.add_bound(sensor.metric, bound, sensor.value)
        pool.add_text(sensor.reason)
    for piece in evidence:
        pool.add(piece.data)
        pool.add_text(f"{piece.text} {piece.cause}")
