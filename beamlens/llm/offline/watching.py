"""A watcher's look without a model: snapshot, judge the active sensors, report, wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.evidence import Evidence, Strength
from beamlens.llm.offline.verdicts import candidates, excluded

if TYPE_CHECKING:
    from beamlens.detect import SensorState

Step = tuple[str, Mapping[str, Any]]

QUIET_MS = 600_000
TROUBLED_MS = 15_000
CONFIRM_MS = 2_000
_CONFIRMING = "confirming: "
_RANK = {"info": 0, "warning": 1, "critical": 2}
_MOST_TEXT = 3500


def decide(facts: Mapping[str, Any], succeeded: Sequence[str]) -> list[Step]:
    """The next tool calls of this look.

    Args:
        facts: ``sensors``, ``evidence``, ``snapshot_ids``, ``state``, ``fired`` (anomaly type to severity), ``note``.
        succeeded: The tools that succeeded in this look so far.
    """
    sensors: Sequence[SensorState] = [s for s in facts["sensors"] if s.severity != "info"]
    if "take_snapshot" not in succeeded:
        return _begin(facts, sensors)
    if not sensors:
        return _quiet(facts)
    if "fire_alert" not in succeeded and "think" not in succeeded:
        due = [sensor for sensor in sensors if is_due(sensor, facts["fired"])]
        unclear = [s for s in due if not conclusive(facts["evidence"].get(s.name, ()))]
        if due and unclear and not facts["note"].startswith(_CONFIRMING):
            # One more look at it: evidence that needs two readings apart may be there a moment later.
            names = ", ".join(sensor.name for sensor in unclear)
            ready = [fire(sensor, facts) for sensor in due if sensor not in unclear]
            return [*ready, ("wait", {"ms": CONFIRM_MS, "note": f"{_CONFIRMING}{names}"})]
        if due:
            return [fire(sensor, facts) for sensor in due]
    return _troubled(facts, sensors)


def _begin(facts: Mapping[str, Any], sensors: Sequence[SensorState]) -> list[Step]:
    steps: list[Step] = [("take_snapshot", {})]
    if sensors and facts["state"] == "healthy":
        reasons = "; ".join(sensor.reason for sensor in sensors)
        steps.append(("set_state", {"state": "observing", "reason": reasons[:_MOST_TEXT]}))
    return steps


def _quiet(facts: Mapping[str, Any]) -> list[Step]:
    steps: list[Step] = []
    if facts["state"] != "healthy":
        steps.append(("set_state", {"state": "healthy", "reason": "no sensor is active"}))
    return [*steps, ("wait", {"ms": QUIET_MS})]


def _troubled(facts: Mapping[str, Any], sensors: Sequence[SensorState]) -> list[Step]:
    most = worst(sensors)
    steps: list[Step] = []
    if facts["state"] != most.severity:
        steps.append(("set_state", {"state": most.severity, "reason": most.reason[:_MOST_TEXT]}))
    return [*steps, ("wait", {"ms": TROUBLED_MS, "note": "reported"})]


def worst(sensors: Sequence[SensorState]) -> SensorState:
    """The most severe one, the first of several."""
    return max(sensors, key=lambda sensor: _RANK[sensor.severity])


def is_due(sensor: SensorState, fired: Mapping[str, str]) -> bool:
    """Whether it was not reported yet, or only as less severe."""
    before = fired.get(sensor.anomaly_type)
    return before is None or _RANK[sensor.severity] > _RANK[before]


def conclusive(evidence: Sequence[Evidence]) -> bool:
    """Whether a piece explains the symptom by itself."""
    return any(piece.strength == Strength.CONCLUSIVE for piece in evidence)


def fire(sensor: SensorState, facts: Mapping[str, Any]) -> Step:
    """The alert of an active sensor, from the facts alone."""
    evidence: Sequence[Evidence] = facts["evidence"].get(sensor.name, ())
    seen = [sensor.reason, *(piece.text for piece in evidence if piece.strength == Strength.CONCLUSIVE)]
    arguments: dict[str, Any] = {
        "type": sensor.anomaly_type,
        "severity": sensor.severity,
        "context": f"{facts['domain']}: sensor {sensor.name} on {sensor.metric} is active.",
        "observation": " ".join(_sentence(text) for text in seen)[:_MOST_TEXT],
        "snapshot_ids": [facts["snapshot_ids"][-1]],
    }
    best = candidates(evidence)
    if best:
        arguments["hypothesis"] = best[0].text[:_MOST_TEXT]
    elif ruled_out := excluded(evidence):
        texts = " ".join(_sentence(piece.text) for piece in ruled_out)
        arguments["hypothesis"] = f"Not known; ruled out: {texts}"[:_MOST_TEXT]
    return "fire_alert", arguments


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
