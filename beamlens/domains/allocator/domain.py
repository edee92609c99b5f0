"""The `allocator` domain: what Python's and C's allocators hold, use, and keep free."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState, Threshold
from beamlens.domains.allocator import glibc, libc, pages, tracing, why
from beamlens.domains.allocator.glibc import Arena, GlibcNumbers
from beamlens.domains.allocator.look import MB, Allocator, Look, Watch
from beamlens.domains.allocator.pymalloc import PymallocNumbers
from beamlens.domains.allocator.sparing import Sparing
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.evidence import Evidence
from beamlens.metrics import Metric

_NAMES = ("pymalloc", "glibc")
_WASTED = Metric("wasted_pct", "%", high=20, critical=40)
_LASTING = 60.0


class AllocatorDomain(Domain):
    """The allocators of this process: pymalloc (Python's small blocks) and glibc's malloc (all else).

    A usage ratio is bytes in use by bytes held, 1 is perfect; below 0.5 an allocator is fragmented, below 0.3
    severely. A process that has had a peak keeps free memory for a while, which is normal and used again; it matters
    when it is a large part of the memory limit (``wasted_pct``) and lasts. Memory beyond what the allocators hold
    (``unexplained_mb``) is code, stacks, mapped files, and extensions with allocators of their own. With another
    malloc (jemalloc, tcmalloc) or C library glibc's numbers are not known. Nothing here changes the process.
    """

    name: ClassVar[str] = "allocator"
    title: ClassVar[str] = "Memory allocators"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("allocator_count", "allocators", description="that tell: pymalloc, glibc", direction="none"),
        Metric("total_carriers", "arenas", description="arenas of both", direction="none"),
        Metric(
            "fragmented_allocators",
            "allocators",
            description="with less than half of what they hold in use",
            direction="none",
        ),
        Metric("worst_usage_ratio", description="lowest of bytes in use by bytes held", direction="none"),
        Metric("rss_mb", "MB", description="resident memory", direction="none"),
        Metric("held_mb", "MB", description="held by the allocators", direction="none"),
        Metric("free_mb", "MB", description="of it free", direction="up", matters=64),
        Metric(
            "wasted_pct", "%", description="free in the allocators, of the memory limit", direction="up", matters=10
        ),
        Metric(
            "unexplained_mb",
            "MB",
            description="resident beyond what the allocators hold; 0 if less is resident",
            direction="up",
            matters=64,
        ),
        Metric("allocated_blocks", "blocks", description="blocks that Python has in use", direction="none"),
        Metric("malloc", description="whose malloc: glibc, jemalloc, tcmalloc, ..."),
        Metric("tracing", description="whether trace_start's tracemalloc is on"),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor("wasted_memory", "wasted_pct", partial(Threshold, _WASTED, lasting=_LASTING), "heap_fragmentation"),
    )

    def __init__(self, *, tracing: bool = False) -> None:
        """Make one.

        Args:
            tracing: Whether ``trace_start`` may turn on tracemalloc, which makes the whole program slower for up to a
                minute. Off by default: nothing that Beamlens does then changes the process.
        """
        self._may_trace = tracing
        self._look = Watch()
        self._arenas: Sparing[list[Arena] | str] = Sparing(glibc.arenas, 1.0)
        self._blocks: Sparing[int] = Sparing(sys.getallocatedblocks)

    def close(self) -> None:
        """End tracemalloc, if ``trace_start`` began it."""
        if self._may_trace:
            tracing.shared.stop("the domain was closed")

    def snapshot(self) -> dict[str, Any]:
        """All metrics; 0.5 ms, and 3 us a megabyte of heap, for which it then rests a thousand times as long."""
        now, arenas = self._look(), self._arenas()
        found = now.allocators(None if isinstance(arenas, str) else len(arenas))
        ratios = [one.usage for one in found if one.usage is not None]
        rss, held = now.rss, now.held
        carriers = [one.carriers for one in found if one.carriers is not None]
        data: dict[str, Any] = {
            "allocator_count": len(found),
            "total_carriers": sum(carriers) if carriers else None,
            "fragmented_allocators": sum(ratio < why.MODERATE for ratio in ratios) if ratios else None,
            "worst_usage_ratio": round(min(ratios), 3) if ratios else None,
            "rss_mb": _mb(rss),
            "held_mb": _mb(held),
            "free_mb": _mb(now.free),
            "wasted_pct": None if now.wasted_pct is None else round(now.wasted_pct, 2),
            "unexplained_mb": None if rss is None or held is None else _mb(max(0, rss - held)),
            "allocated_blocks": self._blocks(),
            "malloc": libc.malloc_name(),
            "tracing": bool(tracing.shared.state()["tracing"]),
        }
        missing = {name: self._reason(name, now) for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def _reason(self, name: str, now: Look) -> str:
        if name == "malloc":
            return f"malloc comes from {libc.malloc_library() or 'an unknown library'}"
        if name == "rss_mb" or (name == "unexplained_mb" and now.rss is None):
            return "it cannot be read: most often no descriptor is left"
        if name == "wasted_pct" and now.limit is None:
            return "no memory limit is known"
        return "; ".join(f"{which}: {text}" for which, text in self._untold(now).items()) or "nothing is held"

    @staticmethod
    def _untold(now: Look) -> dict[str, str]:
        told = {"pymalloc": now.python, "glibc": now.c}
        return {name: value for name, value in told.items() if isinstance(value, str)}

    def sense(self) -> Mapping[str, float | None]:
        """What the sensor reads: free memory in the allocators against the limit; costs as `snapshot`."""
        return {"wasted_pct": self._look().wasted_pct}

    def evidence(self, _sensor: SensorState, /) -> Sequence[Evidence]:
        """Which allocator holds it; 1 ms."""
        return why.explain(self._look(), self._arena_list())

    def _arena_list(self) -> list[Arena]:
        found = self._arenas()
        return [] if isinstance(found, str) else found

    @callback
    def summary(self) -> dict[str, Any]:
        """All allocators with their ratios, the malloc in use, advice as text (nothing is done); below 1 ms."""
        now, arenas = self._look(), self._arena_list()
        return {
            "allocators": [_row(one) for one in now.allocators(len(arenas) or None)],
            "not_told": self._untold(now),
            "malloc": libc.malloc_name(),
            "malloc_library": libc.malloc_library(),
            "glibc": libc.glibc_version(),
            "arena_limit": glibc.arena_limit(),
            "advice": why.advice(now, arenas),
        }

    @callback
    def by_type(self, name: str) -> dict[str, Any]:
        """One allocator, pymalloc or glibc, in detail: its size classes or its arenas, at most 50; below 1 ms."""
        now = self._look()
        if name == "pymalloc":
            return self._pymalloc(now)
        if name == "glibc":
            return self._glibc(now)
        return error("unknown_allocator", f"name={name!r}; the choices are: {', '.join(_NAMES)}")

    def _pymalloc(self, now: Look) -> dict[str, Any]:
        if not isinstance(now.python, PymallocNumbers):
            return error("unsupported", now.python)
        (row,) = [_row(one) for one in now.allocators() if one.name == "pymalloc"]
        classes = [
            {"block_bytes": one.size, "pools": one.pools, "used": one.used, "free": one.free}
            for one in now.python.classes
        ]
        return {**row, "most_arenas": now.python.most_arenas, "size_classes": classes[:50]}

    def _glibc(self, now: Look) -> dict[str, Any]:
        if not isinstance(now.c, GlibcNumbers):
            return error("unsupported", now.c)
        arenas = self._arena_list()
        (row,) = [_row(one) for one in now.allocators(len(arenas) or None) if one.name == "glibc"]
        return {
            **row,
            "mapped_mb": _mb(now.c.mapped),
            "mapped_blocks": now.c.mapped_blocks,
            "free_chunks": now.c.free_chunks,
            "top_mb": _mb(now.c.top),
            "arenas": [
                {
                    "number": arena.number,
                    "held_mb": _mb(arena.held),
                    "free_mb": _mb(arena.free),
                    "free_chunks": arena.free_chunks,
                    "usage_ratio": None if arena.usage is None else round(arena.usage, 3),
                }
                for arena in arenas[:50]
            ],
        }

    @callback
    def fragmentation(self) -> dict[str, Any]:
        """Average and worst usage ratio, score (1 - average, 0 is best), and free memory; below 1 ms."""
        now = self._look()
        found = [one for one in now.allocators() if one.usage is not None]
        ratios = [one.usage for one in found if one.usage is not None]
        if not ratios:
            return error("unsupported", "; ".join(self._untold(now).values()) or "nothing is held")
        held = sum(one.held for one in found)
        average = sum(one.used for one in found) / held
        return {
            "average_usage_ratio": round(average, 3),
            "worst_usage_ratio": round(min(ratios), 3),
            "worst_allocator": min(found, key=lambda one: one.usage or 0.0).name,
            "fragmentation_score": round(1 - average, 3),
            "free_mb": _mb(now.free),
            "rss_mb": _mb(now.rss),
        }

    @callback
    def problematic(self) -> list[dict[str, Any]]:
        """Allocators with less than half of what they hold in use, the worst first; below 1 ms."""
        found = [one for one in self._look().allocators() if one.usage is not None and one.usage < why.MODERATE]
        return [_row(one) for one in sorted(found, key=lambda one: one.usage or 0.0)]

    @callback
    def memory_map(self) -> dict[str, Any]:
        """What the kernel counts: resident, shared, anonymous, swapped, huge pages; some ms a gigabyte resident."""
        found = pages.rollup()
        if found is None:
            return error("unsupported", "the kernel does not tell: no /proc/self/smaps_rollup")
        return {**found, "transparent_huge_pages": pages.transparent_huge_pages()}

    @callback
    def trace_start(self, seconds: int = 10, frames: int = 1) -> dict[str, Any]:
        """Trace what Python allocates with tracemalloc for 1 to 60 seconds; it ends by itself, or at 8 MB of its own.

        Costs the program much meanwhile: allocations take several times as long, with more frames (at most 5) tens of
        times. Refused unless the user allowed it, and when the program uses tracemalloc itself.
        """
        if not self._may_trace:
            return error(
                "not_allowed", "tracing slows the program down; it is allowed with AllocatorDomain(tracing=True)"
            )
        return tracing.shared.start(
            float(clamp(seconds, most=int(tracing.LONGEST))), clamp(frames, most=tracing.MOST_FRAMES)
        )

    @callback
    def trace_stop(self) -> dict[str, Any]:
        """End what trace_start began; what was found stays for trace_top. Up to 50 ms."""
        if not self._may_trace:
            return error("not_allowed", "nothing is traced: see trace_start")
        return tracing.shared.stop()

    @callback
    def trace_top(self, limit: int = 10) -> dict[str, Any]:
        """Lines that allocated most while traced and did not free it, at most 50; up to 50 ms while it is traced."""
        if not self._may_trace:
            return error("not_allowed", "nothing is traced: see trace_start")
        return tracing.shared.top(clamp(limit))


def _mb(value: float | None) -> float | None:
    return None if value is None else round(value / MB, 2)


def _row(one: Allocator) -> dict[str, Any]:
    usage = one.usage
    return {
        "name": one.name,
        "held_mb": _mb(one.held),
        "used_mb": _mb(one.used),
        "free_mb": _mb(one.free),
        "carriers": one.carriers,
        "usage_ratio": None if usage is None else round(usage, 3),
        "grade": why.grade(usage),
    }
