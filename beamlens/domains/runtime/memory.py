"""Why does memory grow? Containers that grow now, weighed against the growth that the sensor saw."""

from __future__ import annotations

from beamlens.detect import SensorState
from beamlens.domains import leaks
from beamlens.evidence import Evidence


def explain(sensor: SensorState) -> list[Evidence]:
    """Look for containers that explain the growth; takes about 3 seconds."""
    return leaks.explain(sensor.data.get("rate_per_s", 0.0), "the process's memory")
