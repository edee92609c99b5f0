"""Replays recordings through the `anomaly` domain's detector, as if a day had passed for each of its parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beamlens.domains import built_in
from beamlens.domains.anomaly.detector import Detector
from beamlens.domains.anomaly.options import Options
from beamlens.metrics import Metric
from benchmarks.false_alarms.record import load

_EPOCH = 1_700_000_000.0


@dataclass(slots=True)
class Replayed:
    """What a recording brought.

    Attributes:
        days: Days that were judged: after learning.
        metrics: Metrics that were watched.
        alarms: Sentences of the escalations.
        departures: Metrics that left their baseline, told or not.
    """

    days: float = 0.0
    metrics: int = 0
    alarms: list[str] = field(default_factory=list)
    departures: Counter[str] = field(default_factory=Counter)


def replay(recordings: Sequence[Path], options: Options) -> Replayed:
    """One process after the other, each a restart with the state of the one before; each row a collection."""
    found = Replayed()
    detector = Detector(options)
    now = _EPOCH
    for index, path in enumerate(recordings):
        if index:
            detector = _restarted(detector, options)
        rows = load(path)
        metrics = {domain: built_in(domain).metrics for domain in rows[0]}
        for row in rows:
            _take(detector, now, row, metrics, found)
            now += options.interval
            found.days += (detector.state != "learning") * options.interval / 86_400
    found.metrics = len(detector.series())
    return found


def _take(
    detector: Detector,
    now: float,
    row: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Sequence[Metric]],
    found: Replayed,
) -> None:
    for said in detector.take(now, row, metrics):
        if said.name == "anomaly.detector.escalation":
            found.alarms.append(str(said.metadata["anomalies"]))
        elif said.name == "anomaly.detector.anomaly_detected":
            found.departures[f"{said.metadata['domain']}.{said.metadata['metric']}"] += 1


def _restarted(detector: Detector, options: Options) -> Detector:
    """As through the file: all of it is JSON."""
    kept = json.loads(json.dumps([detector.header(), *(series.state() for series in detector.series())]))
    fresh = Detector(options)
    fresh.restore(kept[0], kept[1:])
    return fresh
