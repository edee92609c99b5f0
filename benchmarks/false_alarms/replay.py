"""Replays recordings through the `anomaly` domain's detector, and asks it whether it would have noticed."""

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
        rows: Rows of the recordings.
        metrics: Metrics that were watched.
        alarms: Sentences of the escalations.
        departures: Metrics that left their baseline, told or not.
        noticed: How many of the rises that were put in were told within ten collections.
        tried: How many were put in: each metric once, three quarters through.
    """

    days: float = 0.0
    rows: int = 0
    metrics: int = 0
    alarms: list[str] = field(default_factory=list)
    departures: Counter[str] = field(default_factory=Counter)
    noticed: int = 0
    tried: int = 0


def replay(recordings: Sequence[Path], options: Options) -> Replayed:
    """One process after the other, each a restart with the state of the one before; each row a collection."""
    found = Replayed()
    detector = Detector(options)
    now = _EPOCH
    for index, path in enumerate(recordings):
        if index:
            detector = _restarted(detector, options)
        rows = load(path)
        found.rows += len(rows)
        metrics = {domain: built_in(domain).metrics for domain in rows[0]}
        for number, row in enumerate(rows):
            _take(detector, now, row, metrics, found)
            if path == recordings[-1] and number == 3 * len(rows) // 4:
                _try(detector, now, rows[number + 1 : number + 11], metrics, found)
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


def _try(
    detector: Detector,
    now: float,
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    metrics: Mapping[str, Sequence[Metric]],
    found: Replayed,
) -> None:
    """Were each metric, for itself, ten times what it is, and by ten times what matters more, would it be told?"""
    for series in detector.series():
        if series.metric.direction == "none" or series.metric.kind == "counter" or series.metric.harm == "down":
            continue
        beside = _restarted(detector, detector.options)
        beside.process_age = detector.process_age
        beside.state, told = "active", False
        for number, row in enumerate(rows):
            value = row[series.domain].get(series.metric.name)
            if value is not None:
                raised = 10 * (value + max(series.metric.least_change, 1.0))
                row = {**row, series.domain: {**row[series.domain], series.metric.name: raised}}  # noqa: PLW2901
            said = beside.take(now + (number + 1) * detector.options.interval, row, metrics)
            told = told or any(each.name == "anomaly.detector.escalation" for each in said)
        found.tried += 1
        found.noticed += told


def _restarted(detector: Detector, options: Options) -> Detector:
    """As through the file: all of it is JSON."""
    kept = json.loads(json.dumps([detector.header(), *(series.state() for series in detector.series())]))
    fresh = Detector(options)
    fresh.restore(kept[0], kept[1:])
    return fresh
