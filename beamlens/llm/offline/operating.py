"""An operator's run without a model: look, watch a moment where nobody has, report what is off, answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.llm.offline.watching import conclusive, fire, is_due, worst

if TYPE_CHECKING:
    from beamlens.detect import SensorState

Step = tuple[str, Mapping[str, Any]]

OBSERVE_MS = 15_000
"""How long a domain that nobody watches is observed before it is called healthy: growth needs some readings."""

CONFIRM_MS = 2_000
_MOST_TEXT = 3500


def decide(facts: Mapping[str, Any], succeeded: Sequence[str]) -> list[Step]:
    """The next tool calls of this run.

    Args:
        facts: As a watcher's, and ``settled`` (whether the sensors have read long enough), ``nearest`` (sentences).
            With ``question`` it is an answer that is wanted.
        succeeded: The tools that succeeded in this run so far.
    """
    if "question" in facts:
        return [("answer", _answer(facts))]
    sensors: Sequence[SensorState] = [s for s in facts["sensors"] if s.severity != "info"]
    snapshots, waits = succeeded.count("take_snapshot"), succeeded.count("wait")
    if not snapshots:
        return _begin(facts, sensors)
    due = _due(facts, sensors)
    if not sensors and not facts["settled"] and not waits:
        return [("wait", {"ms": OBSERVE_MS})]
    if due and waits < 2 and not all(conclusive(facts["evidence"].get(one.name, ())) for one in due):
        # Evidence that needs two readings apart may be there a moment later.
        return [("wait", {"ms": CONFIRM_MS})]
    if waits and snapshots < 2:
        return [("take_snapshot", {})]
    if due:
        return [fire(one, facts) for one in due]
    return _end(facts, sensors)


def _begin(facts: Mapping[str, Any], sensors: Sequence[SensorState]) -> list[Step]:
    steps: list[Step] = [("take_snapshot", {})]
    if sensors and facts["state"] == "healthy":
        reasons = "; ".join(sensor.reason for sensor in sensors)
        steps.append(("set_state", {"state": "observing", "reason": reasons[:_MOST_TEXT]}))
    return steps


def _due(facts: Mapping[str, Any], sensors: Sequence[SensorState]) -> list[SensorState]:
    """Sensors that were not reported yet, one for each type of alert: the worst."""
    due: dict[str, SensorState] = {}
    for one in sensors:
        known = due.get(one.anomaly_type)
        if is_due(one, facts["fired"]) and (known is None or worst([known, one]) is one):
            due[one.anomaly_type] = one
    return list(due.values())


def _end(facts: Mapping[str, Any], sensors: Sequence[SensorState]) -> list[Step]:
    state = worst(sensors).severity if sensors else "healthy"
    reason = worst(sensors).reason if sensors else "no sensor is active"
    steps: list[Step] = []
    if facts["state"] != state:
        steps.append(("set_state", {"state": state, "reason": reason[:_MOST_TEXT]}))
    summary = reason if sensors else "; ".join([reason, *facts["nearest"]])
    return [*steps, ("done", {"summary": summary[:_MOST_TEXT]})]


def _answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    sensors: Sequence[SensorState] = facts["sensors"]
    found, near = list(facts["observations"]), list(facts["nearest"])
    if found or sensors:
        summary = f"{facts['domain']} is {facts['state']}: {len(found)} found"
        summary += f", {len(sensors)} sensors are active." if sensors else "."
    else:
        summary = f"{facts['domain']} is {facts['state']}: nothing was found that is beyond its bounds."
    if facts["running"]:
        summary += " The run goes on."
    return {
        "summary": summary,
        "findings": [text[:_MOST_TEXT] for text in (found or [f"closest to a limit: {text}" for text in near])],
        "concerns": [sensor.reason[:_MOST_TEXT] for sensor in sensors],
    }
