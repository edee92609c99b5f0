"""The `gc` domain: the cyclic garbage collector."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Growth, Sensor, SensorState, Threshold
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.gc import advice, evidence
from beamlens.domains.gc.pauses import GENERATIONS, LONG_MS, Pause, percentile
from beamlens.domains.gc.recorder import GcRecorder
from beamlens.domains.gc.store import GcStore
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import census, process
from beamlens.probes.census import Census, TypeRow
from beamlens.probes.gc_pauses import pauses
from beamlens_actors import clock
from beamlens_supervision import ChildSpec

_WINDOW = 10.0
_MINUTE = 60.0
# One request in twenty meets such a pause: the 95th percentile feels it. Single ones are how CPython works.
_LONG_PAUSES = Metric("long_pauses_pct", "%", high=5, critical=50)
_SORTS = ("count", "size", "growth")
_NOT_TIMED = "no GcStore runs: pauses are not timed"
_NO_BYTES = "CPython counts the objects that the collector frees, not their bytes: see objects_collected"


class GcDomain(Domain):
    """The cyclic garbage collector: how often it runs, how long all threads stand still for it, what it finds.

    Reference counts free most objects at once; the collector is for cycles. Normal: under 5 % of the time, young
    collections well below a millisecond, full ones rare. Worth an alert: more than 20 % of the time (a program that
    makes cycles, or calls gc.collect() in a loop), full collections of 100 ms again and again (a large heap: see
    gc_recommend_hibernation), objects in gc.garbage, memory that grows while the collector is disabled. It stops the
    thread that it runs on and keeps the GIL, so each pause is a pause of every thread.
    """

    name: ClassVar[str] = "gc"
    title: ClassVar[str] = "Garbage collector"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "gc_time_pct", "%", description="share of the last 10 s spent in the collector", direction="up", matters=10
        ),
        Metric(
            "total_gcs",
            "collections",
            description="of all generations since the start of the process",
            kind="counter",
            direction="none",
        ),
        Metric(
            "objects_collected",
            "objects",
            description="freed since the start of the process",
            kind="counter",
            direction="none",
        ),
        Metric("bytes_reclaimed_mb", "MB", description="not told by CPython", kind="counter", direction="none"),
        Metric("max_pause_ms", "ms", description="longest pause of the last minute", direction="none"),
        Metric(
            "long_pauses_1m", "pauses", description="of 100 ms and more in the last minute", direction="up", matters=4
        ),
        Metric("uncollectable", "objects", description="in gc.garbage", direction="up", matters=200),
        Metric(
            "enabled",
            "",
            description="1: the collector runs by itself; 0: the program has disabled it",
            direction="none",
        ),
        Metric(
            "untimed_pct",
            "%",
            description="collections of the last minute that were too many to be timed",
            direction="none",
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "gc_time",
            "gc_time_pct",
            partial(Threshold, Metric("gc_time_pct", "%", high=20, critical=60), lasting=8.0),
            "gc_pressure",
        ),
        Sensor(
            "gc_long_pauses",
            "long_pauses_pct",
            partial(Threshold, _LONG_PAUSES, lasting=4.0),
            "gc_pressure",
        ),
        Sensor(
            "uncollectable_growth", "uncollectable", partial(Growth, least=200.0, unit="objects", what="gc.garbage")
        ),
        Sensor(
            "growth_while_disabled",
            "rss_while_disabled_mb",
            partial(Growth, least=32.0, unit="MB", what="memory, while the collector is disabled,"),
        ),
    )

    def __init__(self) -> None:
        self.recorder = GcRecorder()
        self._lock = threading.Lock()
        self._census: tuple[float, Census] | None = None

    def children(self) -> Sequence[ChildSpec]:
        """The GcStore."""
        return [ChildSpec("GcStore", GcStore.options(name="GcStore").start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Take the callbacks out, should the GcStore not have done so."""
        self.recorder.uninstall()

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.1 ms, and some microseconds for each collection since the last look."""
        sensed = self.sense()
        stats = gc.get_stats()
        longest = max((pause.ms for pause in self._pauses(_MINUTE)), default=0.0)
        data: dict[str, Any] = {
            "gc_time_pct": _rounded(sensed["gc_time_pct"]),
            "total_gcs": sum(one["collections"] for one in stats),
            "objects_collected": sum(one["collected"] for one in stats),
            "bytes_reclaimed_mb": None,
            "max_pause_ms": round(longest, 3) if self._timed() else None,
            "long_pauses_1m": sensed["long_pauses_1m"],
            "uncollectable": len(gc.garbage),
            "enabled": int(gc.isenabled()),
            "untimed_pct": _rounded(self._untimed_pct()),
            "thresholds": list(gc.get_threshold()),
        }
        reason = _NOT_TIMED if self.recorder.since is None else self._missing()
        missing = {name: reason for name, value in data.items() if value is None}
        return {**data, "_unavailable": {**missing, "bytes_reclaimed_mb": _NO_BYTES}}

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; some microseconds for each collection since the last time."""
        self.recorder.read()
        now = clock.monotonic()
        timed = self._timed()
        long = self.recorder.pauses.long(now, _MINUTE)
        return {
            "gc_time_pct": self.recorder.pauses.share_pct(now, _WINDOW) if timed else None,
            "long_pauses_1m": float(len(long)) if timed else None,
            "long_pauses_pct": sum(pause.ms for pause in long) / 10 / _MINUTE if timed else None,
            "uncollectable": float(len(gc.garbage)),
            "rss_while_disabled_mb": None if gc.isenabled() or (rss := process.resident()) is None else rss / 1e6,
        }

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Which type is made, by which line; who calls gc.collect(); what cannot be freed."""
        return evidence.explain(sensor, self.recorder)

    def excerpt(self, limit: int = 5) -> list[str]:
        """The latest pauses of 10 ms and more."""
        notable = list(reversed(self.recorder.pauses.notable.copy()))[:limit]
        return [f"generation {one.generation}: {one.ms:.1f} ms, {one.collected} objects freed" for one in notable]

    def _timed(self) -> bool:
        return self.recorder.since is not None and pauses.installed

    def _missing(self) -> str:
        if not pauses.installed:
            return "somebody took the callbacks out of gc.callbacks: pauses are not timed"
        return "measured between two looks"

    def _pauses(self, seconds: float) -> list[Pause]:
        now = clock.monotonic()
        return [pause for generation in GENERATIONS for pause in self.recorder.pauses.of(generation, now, seconds)]

    def _untimed_pct(self) -> float | None:
        tallies = self.recorder.pauses.tallies(clock.monotonic(), _MINUTE)
        runs = sum(sum(tally.runs) for tally in tallies)
        if not self._timed():
            return None
        return 100 * (1 - min(1.0, sum(tally.timed for tally in tallies) / runs)) if runs else 0.0

    @callback
    def stats(self) -> dict[str, Any]:
        """The collector by generation: collections, collected, uncollectable, threshold, and pauses of 5 minutes.

        Pauses: p50_ms, p95_ms, max_ms of those that were timed. Beside them enabled, debug flags, threshold_changes
        that were seen, and frozen (objects that gc.freeze() set aside). Cost: reading frozen takes some milliseconds
        for a million of them, without a turn for other threads.
        """
        self.recorder.read()
        now = clock.monotonic()
        rows = []
        for generation, (stat, threshold, count) in enumerate(
            zip(gc.get_stats(), gc.get_threshold(), gc.get_count(), strict=False)
        ):
            times = [pause.ms for pause in self.recorder.pauses.of(generation, now)]
            quantiles = {
                "p50_ms": percentile(times, 0.5),
                "p95_ms": percentile(times, 0.95),
                "max_ms": max(times, default=None),
            }
            rows.append(
                {"generation": generation, **stat, "threshold": threshold, "count": count, "timed": len(times)}
                | {name: _rounded(value) for name, value in quantiles.items()}
            )
        return {
            "generations": rows,
            "gc_time_pct": _rounded(self.recorder.pauses.share_pct(now, _MINUTE)),
            "enabled": gc.isenabled(),
            "debug": gc.get_debug(),
            "frozen": gc.get_freeze_count(),
            "threshold_changes": self.recorder.threshold_changes,
            "note": None if self._timed() else _NOT_TIMED,
        }

    @callback
    def top_types(self, limit: int = 10, sort_by: str = "count") -> dict[str, Any]:
        """The types with most objects, by count, size (bytes without what they refer to) or growth; at most 50.

        growth is against the last call. exact: false means estimated by a walk (a heap beyond 400 000 blocks), which
        does not see garbage. Cost: up to 2 s in slices of 2 ms.
        """
        if sort_by not in _SORTS:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(_SORTS)}")
        now, taken = clock.monotonic(), census.take()
        with self._lock:
            before, self._census = self._census, (now, taken)
        grown = _grown(taken, before[1] if before is not None and before[1].exact == taken.exact else None)
        rows = list(taken.rows)
        if sort_by == "size":
            rows.sort(key=lambda row: -row.bytes)
        elif sort_by == "growth":
            rows.sort(key=lambda row: -grown.get(row.full_name, 0.0))
        return {
            "exact": taken.exact,
            "complete": taken.complete,
            "total_objects": round(taken.total),
            "seconds_since_last": None if before is None else round(now - before[0], 1),
            "types": [
                {**_type(row), "growth": round(grown[row.full_name]) if row.full_name in grown else None}
                for row in rows[: clamp(limit)]
            ],
        }

    @callback
    def top_processes(self, limit: int = 10) -> dict[str, Any]:
        """What holds most of the heap. Threads share one heap in CPython, so the rows are types: see gc_top_types.

        Cost: as gc_top_types.
        """
        found: dict[str, Any] = self.top_types(limit, "size")
        return {**found, "note": "CPython has one heap for all threads; objects belong to types, not to threads"}

    @callback
    def find_spiky_processes(self, threshold_mb: int = 0, limit: int = 10) -> dict[str, Any]:
        """Types that the program makes most of now: samples of the youngest generation over half a second.

        share_pct is of the young objects; at (the line that makes them) where the source tells. threshold_mb keeps
        types with at least as much in the samples. Cost: 25 looks of about a millisecond.
        """
        young = census.young()
        if young is None:
            return error("unavailable", "the youngest generation is too large to be read without stalling others")
        rows = [row for row in young.rows if row.bytes >= threshold_mb * 1e6][: clamp(limit)]
        return {
            "sampled_objects": round(young.total),
            "garbage_per_second": round(evidence.garbage_per_second(self.recorder), 1),
            "types": [
                {
                    **_type(row),
                    "share_pct": round(100 * row.objects / max(1.0, young.total), 2),
                    "at": None if (place := census.makers(row, set())[0]) is None else str(place),
                }
                for row in rows
            ],
        }

    @callback
    def find_lazy_gc_processes(self, min_heap_mb: int = 0, max_age_min: int = 10) -> dict[str, Any]:
        """Generations that were not collected for max_age_min minutes, if memory is at least min_heap_mb.

        age_minutes is counted from when watching began for one that has not run since (has_run).
        Cost: none but reading.
        """
        self.recorder.read()
        if self.recorder.since is None:
            return error("unavailable", _NOT_TIMED)
        resident, now = process.resident(), clock.monotonic()
        if resident is None:
            return error("unavailable", "the process's memory cannot be read: no descriptor is left")
        rss = resident / 1e6
        rows = []
        for generation in GENERATIONS:
            last = self.recorder.pauses.last.get(generation)
            age = (now - (last if last is not None else self.recorder.since)) / 60
            if rss >= min_heap_mb and age >= max(0, max_age_min):
                rows.append({"generation": generation, "age_minutes": round(age, 2), "has_run": last is not None})
        return {"rss_mb": round(rss, 2), "enabled": gc.isenabled(), "count": list(gc.get_count()), "generations": rows}

    @callback
    def calculate_efficiency(self, generation: int) -> dict[str, Any]:
        """What collections of a generation (0, 1, 2) cost and free: objects_per_ms, objects_per_collection.

        fruitless_pct is the share that freed nothing. Of the last 5 minutes; cost: none but reading.
        """
        if generation not in GENERATIONS:
            return error("unknown_generation", f"generation={generation}; the choices are: 0, 1, 2")
        self.recorder.read()
        return advice.efficiency(self.recorder, generation)

    @callback
    def recommend_hibernation(self) -> dict[str, Any]:
        """Whether gc.freeze() or other thresholds would help, with the numbers measured in the last 5 minutes.

        Nothing is changed. Cost: none but reading.
        """
        self.recorder.read()
        return advice.recommend(self.recorder)

    @callback
    def get_long_gcs(self, limit: int = 10) -> list[dict[str, Any]]:
        """The latest pauses of 10 ms and more, newest first: time, ms, generation, collected; at most 50 of 200.

        long tells those of 100 ms and more. Empty when none was timed. Cost: none but reading.
        """
        self.recorder.read()
        notable = list(reversed(self.recorder.pauses.notable.copy()))
        return [
            {
                "time": datetime.fromtimestamp(one.time, UTC).isoformat(),
                "ms": round(one.ms, 3),
                "generation": one.generation,
                "collected": one.collected,
                "long": one.ms >= LONG_MS,
            }
            for one in notable[: clamp(limit)]
        ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _type(row: TypeRow) -> dict[str, Any]:
    return {"type": row.full_name, "objects": round(row.objects), "size_kb": round(row.bytes / 1024, 2)}


def _grown(now: Census, before: Census | None) -> dict[str, float]:
    if before is None:
        return {}
    old = {row.full_name: row.objects for row in before.rows}
    return {row.full_name: row.objects - old.get(row.full_name, 0.0) for row in now.rows}
