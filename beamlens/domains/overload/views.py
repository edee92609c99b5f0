"""What the callbacks answer: severity, rows, percentiles, cascade, plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from beamlens.domains.overload.watch import Tracked, Watch
from beamlens.evidence import Evidence

AFFECTED = 100
_SUSTAINED, _SOON = 60.0, 60.0
_WARNING, _CRITICAL = 2, 4
_BURNING = 0.5

Severity = Literal["none", "transient", "sustained", "critical"]


def severity(watch: Watch, now: float) -> Severity:
    """By growth and by what it leads to, never by depth."""
    growing = watch.growing
    if watch.dropping or any((one.to_overflow or math.inf) < _SOON for one in growing):
        return "critical"
    if any(now - one.since >= _SUSTAINED for one in growing if one.since is not None):
        return "sustained"
    return "transient" if growing else "none"


def kind(watch: Watch) -> str:
    """What kind of overload it is."""
    if watch.dropping:
        return "queue_overflow"
    if len(watch.growing) >= _WARNING:
        return "cascade"
    return "queue_growth" if watch.growing else "none"


def action(watch: Watch) -> str:
    """What to look at first."""
    if watch.dropping:
        return f"items of the {watch.dropping[0].look.name} are lost: see remediation_plan"
    if watch.growing:
        return f"see what the consumers of the {watch.growing[0].look.name} do: bottleneck"
    return "none: no queue grows"


def row(one: Tracked, now: float) -> dict[str, Any]:
    """A queue with what was measured of it; what is not known is None, with its reason."""
    look, rate, left = one.look, one.rate, one.to_overflow
    found: dict[str, Any] = {
        "name": look.name,
        "kind": look.kind,
        "depth": look.depth,
        "capacity": look.capacity,
        "consumers": len(look.consumers),
        "growing": one.reading.active,
        "growth_per_s": None if rate is None else round(rate, 3),
        "growing_for_s": None if one.since is None else round(now - one.since, 1),
        "time_to_overflow_s": None if left is None else round(left, 1),
        "dropped": look.dropped,
    }
    if left is None:
        found["no_overflow_because"] = "it does not grow" if not one.reading.active else "it has no bound"
    return found


def percentiles(depths: Sequence[int]) -> dict[str, int]:
    """p50, p90, p95, p99 and p100 of some depths (nearest rank); 0 without any."""
    ordered = sorted(depths)
    return {
        f"p{share}": ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)] if ordered else 0
        for share in (50, 90, 95, 99, 100)
    }


def cascade(watch: Watch, now: float) -> dict[str, Any]:
    """What grows or is full, the first one first."""
    affected = [one for one in list(watch.tracked.values()) if one.reading.active or one.dropping]
    affected.sort(key=lambda one: one.since if one.since is not None else math.inf)
    full = [one.look.name for one in list(watch.tracked.values()) if one.full]
    count = len(affected)
    return {
        "cascading": count >= _WARNING,
        "level": "critical" if count >= _CRITICAL else "warning" if count >= _WARNING else "none",
        "affected": [row(one, now) for one in affected[:50]],
        "began_with": affected[0].look.name if affected else None,
        "full": full[:50],
    }


def doing(pieces: Sequence[Evidence]) -> str:
    """``cpu``, ``waiting`` or ``unknown``: what consumers did while they were looked at, not over their lives."""
    shares = [piece.data["processors"] for piece in pieces if "processors" in piece.data]
    if not shares:
        return "unknown"
    return "cpu" if max(shares) >= _BURNING else "waiting"


def plan(watch: Watch, pieces: Sequence[Evidence]) -> dict[str, Any]:
    """Steps as text, from what was measured."""
    growing = watch.growing
    if not growing and not watch.dropping:
        return {"steps": [], "facts": [], "reason": "no queue grows and nothing is lost: there is nothing to do"}
    steps = []
    worst = (growing or watch.dropping)[0]
    place = next((str(piece.place) for piece in pieces if piece.place), None)
    if place is not None:
        what = {
            "cpu": f"make {place} cheaper, or move it to other processes: threads share one interpreter lock",
            "waiting": f"find out what {place} waits for; a timeout there, or more consumers, let the others go on",
        }
        steps.append(what.get(doing(pieces), f"look at {place}: there the consumers are"))
    if worst.look.capacity is None:
        steps.append(f"give the {worst.look.name} a bound, so that producers wait or are refused before memory is gone")
    elif (left := worst.to_overflow) is not None:
        steps.append(f"it is full in {left:.0f} s: slow down or refuse producers before")
    if watch.dropping:
        steps.append(f"items of the {watch.dropping[0].look.name} are lost: producers must see it, or be slowed down")
    if len(growing) > 1:
        steps.append(f"begin with the one that grew first: {cascade(watch, 0.0)['began_with']}")
    return {"steps": steps, "facts": [piece.text for piece in pieces], "reason": worst.reading.reason}
