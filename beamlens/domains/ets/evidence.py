"""Why does a table grow, and why does a cache no longer answer?"""

from __future__ import annotations

from beamlens.detect import SensorState
from beamlens.domains import leaks
from beamlens.domains.ets.hit_rate import Collapse
from beamlens.domains.ets.recorder import TableRecorder
from beamlens.domains.ets.tables import Table, read
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import sites

_COLLAPSED_PCT = 50.0


def explain(sensor: SensorState, recorder: TableRecorder) -> list[Evidence]:
    """Facts about an active sensor; up to 4 seconds for growth, in slices."""
    if sensor.metric == "hit_drop_pct":
        return [
            _collapse(table, collapse)
            for table, collapse in recorder.collapses()[:3]
            if collapse.drop_pct >= _COLLAPSED_PCT
        ]
    return leaks.explain(sensor.data.get("rate_per_s", 0.0), "the tables without a bound", resident=False)


def place_of(table: Table) -> Place | None:
    """Where a table is added to, or made; ``None`` when the source does not tell."""
    return sites.find(table.holder).place if table.holder is not None else None


def _collapse(table: Table, collapse: Collapse) -> Evidence:
    numbers = read(table)
    bound = numbers.maxsize if numbers is not None else None
    place = place_of(table)
    misses = collapse.lookups * (1 - collapse.rate) / collapse.seconds
    text = (
        f"the full cache {table.name} ({table.type_name}, at most {bound:g} items) answered {collapse.rate:.0%} of "
        f"{collapse.lookups} lookups in {collapse.seconds:.0f} s, {collapse.usual:.0%} before: {misses:.0f} entries a "
        "second are made and pushed out again, so its keys no longer fit or no longer repeat"
        if bound is not None
        else f"the cache {table.name} is gone"
    )
    return Evidence(
        text=text,
        cause=CauseKind.CACHE_THRASH,
        strength=Strength.CONCLUSIVE if place is not None and bound is not None else Strength.SUPPORTING,
        place=place,
        data={"hit_rate": round(collapse.rate, 3), "usual": round(collapse.usual, 3), "lookups": collapse.lookups},
    )
