"""The `runtime` domain: memory, threads, descriptors, the GIL, against the real limits of the process."""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from beamlens.detect import Growth, Sensor, SensorState
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.runtime import globals_scan
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import limits, process, stacks
from beamlens.probes.gil import GilReading, gil_enabled, ticker
from beamlens.probes.process import ProcessNumbers

if TYPE_CHECKING:
    from collections.abc import Callable

_MB = 1e6
_LIMITS_FOR = 10.0


class _LimitsOfNow:
    """The limits, read again every ten seconds: some can be changed while a process runs."""

    def __init__(self) -> None:
        self._read: limits.Limits | None = None
        self._at = 0.0

    def get(self) -> limits.Limits:
        now = time.monotonic()
        if self._read is None or now - self._at > _LIMITS_FOR:
            self._read, self._at = limits.read(), now
        return self._read


_limits = _LimitsOfNow()


def _limit_of(kind: str, scale: float = 1.0) -> Callable[[], float | None]:
    def get() -> float | None:
        limit: limits.Limit | None = getattr(_limits.get(), kind)
        return None if limit is None else limit.value / scale

    return get


class RuntimeDomain(Domain):
    """The Python runtime of this process: memory, threads, file descriptors, the GIL.

    Utilisation is against the limits that really apply: control group, resource limits, machine. ``run_queue_ms`` is
    how late a sleeping thread wakes up; ``gil_wait_pct`` is the share of time in which it waited for the GIL, with
    waits for a processor (noisy neighbours, throttling, steal) taken off, and only where this process's own CPU time
    explains it. Sensors tell steady growth of memory, descriptors and threads, and a GIL that is kept.
    """

    name: ClassVar[str] = "runtime"
    title: ClassVar[str] = "Python runtime"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("memory_mb", "MB", description="resident memory"),
        Metric("memory_utilization_pct", "%", high=85, critical=95, description="of the memory limit"),
        Metric("thread_count", "threads", description="threads of the process"),
        Metric("thread_utilization_pct", "%", high=80, critical=95, description="of the thread limit"),
        Metric("descriptor_count", "descriptors", description="open file descriptors"),
        Metric("descriptor_utilization_pct", "%", high=80, critical=95, description="of the descriptor limit"),
        Metric("interned_strings", "strings", description="interned strings, CPython 3.12 and later"),
        Metric("run_queue_ms", "ms", description="95th percentile of how late a sleeping thread wakes"),
        Metric("gil_wait_pct", "%", description="share of time that a thread waits for the GIL"),
        Metric("cpu_pct", "%", description="CPU of the process; 100 is one core"),
        Metric("cores", "cores", description="cores that the process may use"),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "memory_growth",
            "memory_mb",
            lambda: Growth(least=20, unit="MB", limit=_limit_of("memory", _MB), what="memory"),
        ),
        Sensor(
            "memory_growth_slow",
            "memory_mb",
            lambda: Growth(
                least=16, least_share=0.03, unit="MB", bucket=60, limit=_limit_of("memory", _MB), what="memory"
            ),
            anomaly_type="memory_growth",
        ),
        Sensor(
            "descriptor_growth",
            "descriptor_count",
            lambda: Growth(least=25, unit="descriptors", limit=_limit_of("descriptors"), what="open descriptors"),
        ),
        Sensor(
            "descriptor_growth_slow",
            "descriptor_count",
            lambda: Growth(
                least=20, unit="descriptors", bucket=60, limit=_limit_of("descriptors"), what="open descriptors"
            ),
            anomaly_type="descriptor_growth",
        ),
        Sensor(
            "thread_growth",
            "thread_count",
            lambda: Growth(least=12, unit="threads", limit=_limit_of("threads"), what="the number of threads"),
        ),
        Sensor(
            "thread_growth_slow",
            "thread_count",
            lambda: Growth(
                least=12, unit="threads", bucket=60, limit=_limit_of("threads"), what="the number of threads"
            ),
            anomaly_type="thread_growth",
        ),
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticking = False
        self._cpu_before: tuple[float, float] | None = None

    def all_sensors(self) -> tuple[Sensor, ...]:
        """The declared ones, and the GIL's, which is a threshold that must last."""
        from beamlens.detect import Threshold

        # One thread that never rests makes others wait 20 % of the time, a process at rest 0 %.
        held = Metric("gil_wait_pct", "%", high=12, critical=90)
        return (
            *super().all_sensors(),
            Sensor("gil_contention", "gil_wait_pct", lambda: Threshold(held, lasting=4.0), "gil_contention"),
        )

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.3 ms."""
        numbers, gil = process.read(), self._gil()
        found = _limits.get()
        unavailable = {}
        interned = getattr(sys, "getunicodeinternedsize", None)
        if interned is None:
            unavailable["interned_strings"] = "CPython tells it from 3.12 on"
        if gil is None:
            unavailable["run_queue_ms"] = unavailable["gil_wait_pct"] = "measured half a second after the first look"
        if numbers.descriptors is None:
            unavailable["descriptor_count"] = "this system does not tell"
        data: dict[str, Any] = {
            "memory_mb": round(numbers.rss / _MB, 2),
            "memory_utilization_pct": _share(numbers.rss, found.memory),
            "memory_limit_mb": None if found.memory is None else round(found.memory.value / _MB, 1),
            "memory_limit_source": None if found.memory is None else found.memory.source,
            "thread_count": numbers.threads,
            "thread_utilization_pct": _share(numbers.threads, found.threads),
            "thread_limit": None if found.threads is None else int(found.threads.value),
            "descriptor_count": numbers.descriptors,
            "descriptor_utilization_pct": _share(numbers.descriptors, found.descriptors),
            "descriptor_limit": None if found.descriptors is None else int(found.descriptors.value),
            "interned_strings": interned() if interned is not None else None,
            "run_queue_ms": None if gil is None else round(gil.p95_ms, 3),
            "gil_wait_pct": None if gil is None else round(gil.contention_share * 100, 2),
            "cpu_pct": self._cpu(numbers),
            "cores": None if found.cores is None else found.cores.value,
        }
        for name in ("memory", "thread", "descriptor"):
            if data[f"{name}_utilization_pct"] is None:
                unavailable.setdefault(f"{name}_utilization_pct", "no limit is known")
        if data["cpu_pct"] is None:
            unavailable["cpu_pct"] = "measured between two looks"
        if unavailable:
            data["_unavailable"] = unavailable
        return data

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; below 0.1 ms."""
        numbers, gil, found = process.read(), self._gil(), _limits.get()
        return {
            "memory_mb": numbers.rss / _MB,
            "memory_utilization_pct": _share(numbers.rss, found.memory),
            "thread_count": numbers.threads,
            "thread_utilization_pct": _share(numbers.threads, found.threads),
            "descriptor_count": numbers.descriptors,
            "descriptor_utilization_pct": _share(numbers.descriptors, found.descriptors),
            "gil_wait_pct": None if gil is None else gil.contention_share * 100,
        }

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Look closer with the stack sampler and the heap walk; up to 4 seconds, in slices."""
        from beamlens.domains.runtime import descriptors, gil, memory, threads

        explain = {"memory": memory.explain, "descriptor": descriptors.explain, "thread": threads.explain}
        explain["gil"] = gil.explain
        kind = sensor.name.partition("_")[0]
        return explain[kind](sensor) if kind in explain else []

    def close(self) -> None:
        """Stop the GIL ticker, if this started it."""
        with self._lock:
            if self._ticking:
                self._ticking = False
                ticker.stop()

    def _gil(self) -> GilReading | None:
        with self._lock:
            if not self._ticking:
                self._ticking = True
                ticker.start()
        return ticker.read()

    def _cpu(self, numbers: ProcessNumbers) -> float | None:
        now = time.monotonic()
        before, self._cpu_before = self._cpu_before, (now, numbers.cpu_seconds)
        if before is None or now - before[0] < 0.05:
            return None
        return round(100 * (numbers.cpu_seconds - before[1]) / (now - before[0]), 1)

    @callback
    def get_memory(self) -> dict[str, Any]:
        """Memory in MB: rss, limit, limit_source, utilization_pct, and allocated_blocks of the interpreter."""
        numbers, limit = process.read(), _limits.get().memory
        return {
            "rss_mb": round(numbers.rss / _MB, 2),
            "limit_mb": None if limit is None else round(limit.value / _MB, 1),
            "limit_source": None if limit is None else limit.source,
            "utilization_pct": _share(numbers.rss, limit),
            "allocated_blocks": sys.getallocatedblocks(),
        }

    @callback
    def get_processes(self) -> dict[str, Any]:
        """Threads and descriptors: thread_count, python_threads, thread_limit, descriptor_count, descriptor_limit."""
        numbers, found = process.read(), _limits.get()
        return {
            "thread_count": numbers.threads,
            "python_threads": numbers.python_threads,
            "thread_limit": None if found.threads is None else int(found.threads.value),
            "descriptor_count": numbers.descriptors,
            "descriptor_limit": None if found.descriptors is None else int(found.descriptors.value),
        }

    @callback
    def get_schedulers(self) -> dict[str, Any]:
        """The GIL and the processors: run_queue_ms, gil_wait_pct, not_gil_pct (late for else), cpu_cores, cores."""
        gil, cores = self._gil(), _limits.get().cores
        if gil is None:
            return error("not_yet", "the ticker has not run for half a second; ask again")
        return {
            "gil": gil_enabled(),
            "switch_interval_ms": sys.getswitchinterval() * 1e3,
            "median_lateness_ms": round(gil.lateness_ms, 3),
            "run_queue_ms": round(gil.p95_ms, 3),
            "max_lateness_ms": round(gil.max_ms, 3),
            "gil_wait_pct": round(gil.contention_share * 100, 2),
            "not_gil_pct": round(gil.elsewhere_share * 100, 2),
            "cpu_cores": round(gil.cpu_cores, 3),
            "cores": None if cores is None else cores.value,
        }

    @callback
    def get_atoms(self) -> dict[str, Any]:
        """Interned strings, the nearest thing to an atom table: count. CPython 3.12 and later."""
        interned = getattr(sys, "getunicodeinternedsize", None)
        if interned is None:
            return error("unsupported", "CPython tells the number of interned strings from 3.12 on")
        return {"count": interned()}

    @callback
    def get_system(self) -> dict[str, Any]:
        """The interpreter: implementation, version, platform, uptime_seconds, modules, recursion_limit."""
        started = process.this_process().create_time()
        return {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "platform": platform.platform(),
            "uptime_seconds": round(time.time() - started, 1),
            "started_at": datetime.fromtimestamp(started, UTC).isoformat(),
            "modules": len(sys.modules),
            "recursion_limit": sys.getrecursionlimit(),
            "gil": gil_enabled(),
        }

    @callback
    def get_persistent_terms(self) -> dict[str, Any]:
        """Containers in module globals, the nearest thing to persistent terms: count, items, largest."""
        return globals_scan.scan()

    @callback
    def top_processes(self, limit: int = 10, sort_by: str = "cpu") -> Any:
        """Threads and what they do: name, native_id, cpu_seconds, at (line of the program). sort_by: cpu, name."""
        if sort_by not in ("cpu", "name"):
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: cpu, name")
        burnt = process.thread_cpu()
        rows: list[dict[str, Any]] = [
            {
                "name": stack.name,
                "native_id": stack.native_id,
                "cpu_seconds": burnt.get(stack.native_id or -1),
                "at": None if stack.place is None else f"{stack.place.file}:{stack.place.line} {stack.place.function}",
            }
            for stack in stacks.look()
        ]
        if sort_by == "cpu":
            rows.sort(key=lambda row: -(row["cpu_seconds"] or 0.0))
        else:
            rows.sort(key=lambda row: str(row["name"]))
        return rows[: clamp(limit)]

    @callback
    def hot_functions(self, seconds: int = 1, limit: int = 10) -> Any:
        """Samples all stacks for up to 3 seconds: at (line of the program) and its share of the samples."""
        samples = stacks.sample(float(max(1, min(seconds, 3))))
        total = max(1, sum(counter.total() for counter in samples.lines.values()))
        counts: dict[str, int] = {}
        for counter in samples.lines.values():
            for frame, count in counter.items():
                at = f"{frame.file}:{frame.line} {frame.function}"
                counts[at] = counts.get(at, 0) + count
        top = sorted(counts.items(), key=lambda item: -item[1])[: clamp(limit)]
        return [{"at": at, "share": round(count / total, 3)} for at, count in top]


def _share(value: float | None, limit: limits.Limit | None) -> float | None:
    return None if value is None or limit is None or limit.value <= 0 else round(100 * value / limit.value, 2)
