"""The `ets` domain: in-memory tables."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Growth, Sensor, SensorState, Threshold
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.ets.evidence import explain, place_of
from beamlens.domains.ets.growth import Change
from beamlens.domains.ets.recorder import Row, TableRecorder
from beamlens.domains.ets.store import GrowthStore
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens_supervision import ChildSpec

_MB = 1e6
_LISTED, _LISTED_OF_OTHERS = 100, 1000
_FRESH = 10.0
_NOT_YET = "the first survey of the tables has not ended; ets_list_tables() makes one"
_SORTS = ("memory", "size", "growth")
# As much as an ordinary warm-up of the runtime's memory sensor: both speak up at the same leak.
_LEAST_MB = 32.0
_EXPLAINED = 0.5


class EtsDomain(Domain):
    """In-memory tables of this process: what it keeps in dicts, lists, sets and caches.

    Tables are ``functools`` caches, cachetools caches, containers that a module variable, a class or an object leads
    to (of 100 items and more; of libraries, 1000), and what the program registered with ``beamlens.register_table``.
    Memory is estimated from samples of a table's items. Normal: caches that fill up to their bound, tables that grow
    and shrink with the load. Worth an alert: a table without a bound that only grows; a full cache whose hit rate
    collapsed. A growing process whose tables do not grow leaks elsewhere: native memory is not seen here.
    """

    name: ClassVar[str] = "ets"
    title: ClassVar[str] = "In-memory tables"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("table_count", "tables", description="found by the last survey", direction="none"),
        Metric("total_memory_mb", "MB", description="of all tables, estimated", direction="none"),
        Metric("largest_table_mb", "MB", description="of the largest one, estimated", direction="none"),
        Metric("unbounded_mb", "MB", description="of tables without a bound, estimated", direction="up", matters=32),
        Metric(
            "kept_growth_mb",
            "MB",
            description="gained by tables without a bound since each last shrank",
            direction="none",
        ),
        Metric(
            "hit_drop_pct",
            "points",
            description="worst loss of hit rate of a full cache against its usual one",
            direction="up",
            matters=20,
        ),
        Metric("registered_count", "tables", description="registered by the program", direction="none"),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "table_growth",
            "kept_growth_mb",
            partial(Growth, least=_LEAST_MB, unit="MB", what="memory of tables without a bound"),
        ),
        Sensor(
            "table_growth_slow",
            "kept_growth_mb",
            partial(Growth, least=_LEAST_MB, bucket=60.0, unit="MB", what="memory of tables without a bound"),
            "table_growth",
        ),
        Sensor(
            "cache_thrash",
            "hit_drop_pct",
            partial(Threshold, Metric("hit_drop_pct", "points", high=50.0), lasting=12.0),
        ),
    )

    def __init__(self) -> None:
        self.recorder = TableRecorder()

    def children(self) -> Sequence[ChildSpec]:
        """The GrowthStore, on a thread of its own: a survey is no work for a hub."""
        options = GrowthStore.options(name="GrowthStore", backend="threads")
        return [ChildSpec("GrowthStore", options.start, (self.recorder,), shutdown=2.0)]

    def close(self) -> None:
        """Forget what was seen; nothing is installed in the program."""
        self.recorder.uninstall()

    def snapshot(self) -> dict[str, Any]:
        """All metrics, of the tables that the last survey found; about 5 us a table."""
        names = [metric.name for metric in self.metrics]
        if self.recorder.surveyed_at is None:
            data: dict[str, Any] = dict.fromkeys(names)
            return {**data, "_unavailable": dict.fromkeys(names, _NOT_YET)}
        rows = [row for row in self.recorder.rows() if _is_listed(row)]
        sizes = [row.bytes or 0.0 for row in rows]
        grown, drop = self._last_sensed
        return {
            "table_count": len(rows),
            "total_memory_mb": round(sum(sizes) / _MB, 2),
            "largest_table_mb": round(max(sizes, default=0.0) / _MB, 2),
            "unbounded_mb": round(sum(row.bytes or 0.0 for row in rows if row.numbers.maxsize is None) / _MB, 2),
            "kept_growth_mb": round(grown, 2),
            "hit_drop_pct": round(drop, 1),
            "registered_count": sum(row.table.kind == "registered" for row in rows),
            "survey_complete": self.recorder.complete,
        }

    _last_sensed: tuple[float, float] = (0.0, 0.0)

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; at most half a millisecond."""
        if self.recorder.surveyed_at is None:
            return {"kept_growth_mb": None, "hit_drop_pct": None}
        self._last_sensed = self.recorder.sense()
        return dict(zip(("kept_growth_mb", "hit_drop_pct"), self._last_sensed, strict=True))

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Which table, who holds it, which line adds to it; the same walk as the runtime's for memory."""
        return explain(sensor, self.recorder)

    def excerpt(self, limit: int = 5) -> list[str]:
        """The tables that gained most."""
        return [f"{table.name} ({table.type_name}): {mb:.2f} MB" for table, mb in self.recorder.gainers()[:limit]]

    @callback
    def list_tables(self) -> dict[str, Any]:
        """The 50 largest tables by memory: name, kind, type, size, maxsize, memory_kb, hit_rate_pct; and their count.

        kind is registered, cache or container. Cost: a survey if the last is older than 10 s, 0.1 s in slices of 2 ms.
        """
        rows = self._rows()
        return {"total": len(rows), "tables": [_describe(row) for row in _sorted(rows, "memory")[:50]]}

    @callback
    def table_info(self, name: str) -> dict[str, Any]:
        """One table by name: as listed, with hits, misses, owner (who holds it), at (the line that adds to it).

        Cost: as ets_list_tables, and reading the source of loaded modules once: some 100 ms.
        """
        row = next((row for row in self._rows(all_of_them=True) if row.table.name == name), None)
        if row is None:
            names = [row.table.name for row in self._rows()]
            near = difflib.get_close_matches(name[:200], names, 5, 0.3) or names[:5]
            choices = ", ".join(near) or "none was found"
            return error("table_not_found", f"no table is named {name[:200]!r}; among the tables are: {choices}")
        place = place_of(row.table)
        holder = row.table.holder
        return {
            **_describe(row),
            "hits": row.numbers.hits,
            "misses": row.numbers.misses,
            "item_bytes": None if row.table.item_bytes is None else round(row.table.item_bytes),
            "owner": None if holder is None else holder.path,
            "at": None if place is None else str(place),
            "memory_unknown": row.table.unknown or None,
        }

    @callback
    def top_tables(self, limit: int = 10, sort_by: str = "memory") -> Any:
        """The first tables by memory, size (items) or growth (items in the last hour); at most 50.

        Cost: as ets_list_tables.
        """
        if sort_by not in _SORTS:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(_SORTS)}")
        rows = self._rows()
        changes = {change.name: change for change in self.recorder.history.changes()}
        found: list[dict[str, Any]] = []
        for row in _sorted(rows, sort_by, changes)[: clamp(limit)]:
            change = changes.get(row.table.name)
            found.append({**_describe(row), "size_delta": None if change is None else change.delta})
        return found

    @callback
    def growth_stats(self, minutes: int = 60) -> dict[str, Any]:
        """The ten fastest growing tables of the last minutes (1 to 60): name, size_delta, growth_pct, current_size.

        A new table counts as 100 %. Cost: none but reading; sizes are sampled each minute, for an hour.
        """
        seconds = 60.0 * max(1, min(minutes, 60))
        held = self.recorder.history.samples(seconds)
        rows = {row.table.name: row for row in self.recorder.rows()}
        grown = [change for change in self.recorder.history.changes(seconds) if change.delta > 0][:10]
        return {
            "samples": len(held),
            "span_seconds": round(held[-1].at - held[0].at, 1) if held else 0.0,
            "note": None if len(held) > 1 else "fewer than two samples: growth is not known yet",
            "rss_growth_mb": self.recorder.history.rss_growth_mb(seconds),
            "fastest_growing_tables": [_growth(change, rows.get(change.name)) for change in grown],
        }

    @callback
    def leak_candidates(self, threshold_pct: int = 10) -> dict[str, Any]:
        """Tables without a bound that only grew in the last hour, by threshold_pct percent at least; at most 20.

        Each with owner, at (the line that adds to it), only_grows and memory_growth_mb. native_mb is the growth of
        resident memory that they do not explain: its cause is not known here. Needs three samples, a minute apart.
        Cost: reading the source of loaded modules once, some 100 ms.
        """
        history = self.recorder.history
        if len(history.samples()) < 3:
            return {"suspected_leaks": [], "note": "insufficient history: three samples are needed, a minute apart"}
        rows = {row.table.name: row for row in self.recorder.rows()}
        found: list[dict[str, Any]] = []
        explained = 0.0
        for change in history.changes():
            row = rows.get(change.name)
            if row is None or row.numbers.maxsize is not None or not change.only_grows or change.samples < 3:
                continue
            if change.pct < threshold_pct or len(found) >= 20:
                continue
            explained += change.delta * (row.table.item_bytes or 0.0) / _MB
            found.append(_leak(change, row))
        rss = history.rss_growth_mb()
        native = None if rss is None or rss <= 0 else round(max(0.0, rss - explained), 2)
        unexplained = rss is not None and rss > 1.0 and explained < _EXPLAINED * rss
        return {
            "suspected_leaks": found,
            "rss_growth_mb": rss,
            "explained_mb": round(explained, 2),
            "native_mb": native,
            "native": "not known: tables do not explain the growth of resident memory" if unexplained else None,
        }

    def _rows(self, *, all_of_them: bool = False) -> list[Row]:
        self.recorder.refresh(_FRESH)
        return [row for row in self.recorder.rows() if all_of_them or _is_listed(row)]


def _is_listed(row: Row) -> bool:
    if row.table.kind != "container":
        return True
    return row.numbers.size >= (_LISTED if row.table.users else _LISTED_OF_OTHERS)


def _sorted(rows: list[Row], sort_by: str, changes: Mapping[str, Change] | None = None) -> list[Row]:
    if sort_by == "growth":
        grown = {name: change.delta for name, change in (changes or {}).items()}
        return sorted(rows, key=lambda row: -grown.get(row.table.name, 0))
    if sort_by == "size":
        return sorted(rows, key=lambda row: -row.numbers.size)
    return sorted(rows, key=lambda row: -(row.bytes or 0.0))


def _describe(row: Row) -> dict[str, Any]:
    return {
        "name": row.table.name,
        "kind": row.table.kind,
        "type": row.table.type_name,
        "size": row.numbers.size,
        "maxsize": row.numbers.maxsize,
        "memory_kb": None if row.bytes is None else round(row.bytes / 1024, 2),
        "hit_rate_pct": row.numbers.hit_rate_pct,
    }


def _growth(change: Change, row: Row | None) -> dict[str, Any]:
    return {
        "name": change.name,
        "size_delta": change.delta,
        "growth_pct": change.pct,
        "current_size": change.now,
        "only_grows": change.only_grows,
        "maxsize": None if row is None else row.numbers.maxsize,
        "memory_mb": None if row is None or row.bytes is None else round(row.bytes / _MB, 2),
    }


def _leak(change: Change, row: Row) -> dict[str, Any]:
    place, holder = place_of(row.table), row.table.holder
    each = row.table.item_bytes
    return {
        **_growth(change, row),
        "memory_growth_mb": None if each is None else round(change.delta * each / _MB, 2),
        "owner": row.table.name if holder is None else holder.path,
        "at": None if place is None else str(place),
    }
