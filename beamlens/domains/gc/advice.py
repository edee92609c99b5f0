"""What would relieve the collector, from what was measured. Nothing is changed."""

from __future__ import annotations

import gc
import statistics
from typing import Any

from beamlens.domains.gc.pauses import GENERATIONS
from beamlens.domains.gc.recorder import GcRecorder
from beamlens_actors import clock

_FULL_SHARE_PCT = 1.0
_FULL_MS = 20.0
_OFTEN = 50.0
_FREED_FEW = 1000
_WINDOW = 300.0


def efficiency(recorder: GcRecorder, generation: int) -> dict[str, Any]:
    """What the timed collections of a generation cost and freed, over the last five minutes."""
    held = recorder.pauses.of(generation, clock.monotonic(), _WINDOW)
    spent, freed = sum(pause.ms for pause in held), sum(pause.collected for pause in held)
    return {
        "generation": generation,
        "collections_timed": len(held),
        "total_ms": round(spent, 3),
        "objects_freed": freed,
        "objects_per_collection": round(freed / len(held), 2) if held else None,
        "objects_per_ms": round(freed / spent, 2) if spent > 0 else None,
        "fruitless_pct": round(100 * sum(p.collected == 0 for p in held) / len(held), 2) if held else None,
    }


def recommend(recorder: GcRecorder) -> dict[str, Any]:
    """Recommendations, each with the numbers that it rests on; none when nothing is to be gained."""
    now = clock.monotonic()
    tallies = recorder.pauses.tallies(now, _WINDOW)
    span = sum(tally.span for tally in tallies)
    runs = [sum(tally.runs[generation] for tally in tallies) for generation in GENERATIONS]
    found: list[dict[str, Any]] = []
    if span > 0:
        found += _about_full(recorder, now, span)
        found += _about_young(runs[0] / span, recorder, now)
    return {
        "measured_seconds": round(span, 1),
        "gc_time_pct": None if (share := recorder.pauses.share_pct(now, _WINDOW)) is None else round(share, 3),
        "recommendations": found,
        "note": None if found else "nothing measured would be gained by gc.freeze() or other thresholds",
    }


def _about_full(recorder: GcRecorder, now: float, span: float) -> list[dict[str, Any]]:
    held = recorder.pauses.of(2, now, _WINDOW)
    if len(held) < 2:
        return []
    mean, freed = statistics.fmean(pause.ms for pause in held), statistics.fmean(pause.collected for pause in held)
    share = 100 * sum(pause.ms for pause in held) / 1e3 / span
    if (share < _FULL_SHARE_PCT and mean < _FULL_MS) or freed > _FREED_FEW:
        return []
    text = (
        f"full collections take {mean:.1f} ms each, {share:.2f} % of the time, and free {freed:.0f} objects: "
        "they read a large heap that lives on. gc.collect(); gc.freeze() after start-up takes that heap out of them"
    )
    numbers = {"mean_ms": round(mean, 3), "share_pct": round(share, 3), "freed_each": round(freed, 1)}
    return [{"action": "gc.freeze", "reason": text, **numbers}]


def _about_young(per_second: float, recorder: GcRecorder, now: float) -> list[dict[str, Any]]:
    held = recorder.pauses.of(0, now, _WINDOW)
    share = per_second * statistics.fmean(pause.ms for pause in held) / 10 if held else 0.0
    threshold = gc.get_threshold()[0]
    if per_second < _OFTEN or share < _FULL_SHARE_PCT or threshold <= 0:
        return []
    text = (
        f"young collections run {per_second:.0f} times a second and take {share:.2f} % of the time, at a threshold of "
        f"{threshold} objects: gc.set_threshold({threshold * 10}) makes them ten times as rare"
    )
    numbers = {"per_second": round(per_second, 1), "share_pct": round(share, 3), "threshold": threshold}
    return [{"action": "gc.set_threshold", "reason": text, **numbers}]
