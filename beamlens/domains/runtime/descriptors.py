"""Why do descriptors pile up? What they are, who holds them, and where they are opened."""

from __future__ import annotations

import dataclasses

from beamlens.detect import SensorState
from beamlens.domains.runtime import threads
from beamlens.evidence import Evidence
from beamlens.probes import openers


def explain(sensor: SensorState) -> list[Evidence]:
    """Compare the open descriptors before and after 2.5 seconds, and find who holds the new ones."""
    opened = openers.watch(sensor.since)
    if opened.threads:
        grown = dataclasses.replace(sensor, data={"grown": float(opened.threads)})
        return [*threads.explain(grown), *opened.evidence]
    return opened.evidence
