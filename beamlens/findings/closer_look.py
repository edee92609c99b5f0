"""Closer looks at active sensors, and how things stand in words: shared by watchers and operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from beamlens.agent.supervised import Supervised
from beamlens_actors import Aborted
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.domains.domain import Domain
    from beamlens.evidence import Evidence
    from beamlens.findings.investigation import Investigation
    from beamlens.metrics import Metric
    from beamlens_actors import AbortSignal

# A search of two seconds in slices waits for the GIL after each: ten times as long in a process that is busy on a
# machine that is busy, which is when it is asked for. An alert half a minute later is worth the cause in it.
EVIDENCE_TIMEOUT = 30.0


def gather_evidence(
    found: Investigation, sensors: Iterable[SensorState], abort: AbortSignal
) -> dict[str, tuple[Evidence, ...]]:
    """Look closer at sensors, all at a time, each in a task of its own for 30 s at most.

    Args:
        found: Who looks; is told of looks that fail.
        sensors: The active ones.
        abort: Ends it; what was found by then is returned.

    Returns:
        Sensor name to what was found; without those that failed.
    """
    tasks = {}
    for sensor in sensors:
        try:
            tasks[sensor.name] = Supervised(
                found.services.tool_tasks(), partial(_look_closer, found.domain, sensor), f"{found.agent}:evidence"
            )
        except Exception as error:  # noqa: BLE001 - no thread: judge without a closer look
            _failed(found, sensor.name, error)
    gathered: dict[str, tuple[Evidence, ...]] = {}
    for name, task in tasks.items():
        try:
            gathered[name] = task.result(EVIDENCE_TIMEOUT, abort)
        except Aborted:
            break
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            _failed(found, name, error)
    return gathered


def _look_closer(domain: Domain, sensor: SensorState) -> tuple[Evidence, ...]:
    return tuple(domain.evidence(sensor))


def _failed(found: Investigation, sensor: str, error: Exception) -> None:
    found.emit("evidence_failed", sensor=sensor, reason=in_words(error), trust="untrusted")


def sensor_lines(sensors: Iterable[SensorState], evidence: Mapping[str, Sequence[Evidence]]) -> list[str]:
    """A line for each sensor and each piece of evidence; text from outside."""
    lines = []
    for sensor in sensors:
        lines.append(f"- {sensor.name} ({sensor.severity}, alert type {sensor.anomaly_type}): {sensor.reason}")
        for piece in evidence.get(sensor.name, ()):
            where = f" [{piece.place}]" if piece.place else ""
            lines.append(f"  - {piece.strength.value} for {piece.cause}: {piece.text}{where}")
    return lines


def nearest(metrics: Iterable[Metric], data: Mapping[str, Any], limit: int = 3) -> list[str]:
    """The metrics that are nearest to an upper bound, a sentence each.

    Args:
        metrics: What is declared.
        data: A snapshot's.
        limit: At most so many.
    """
    found = []
    for metric in metrics:
        bound = metric.high if metric.high is not None else metric.critical
        value = data.get(metric.name)
        if not bound or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        unit = f" {metric.unit}" if metric.unit else ""
        found.append((value / bound, f"{metric.name} is {value:g}{unit}, {value / bound:.0%} of {bound:g}{unit}"))
    return [text for _share, text in sorted(found, reverse=True)[:limit]]
