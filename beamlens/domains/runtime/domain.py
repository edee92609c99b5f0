"""The `runtime` domain: memory, threads, descriptors, the GIL, against the real limits of the process."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.runtime import crowded, declared, descriptors, gil, globals_scan, memory, threads
from beamlens.domains.runtime.asked_atoms import AskedAtoms
from beamlens.domains.runtime.asked_binaries import AskedBinaries
from beamlens.domains.runtime.asked_loops import AskedLoops
from beamlens.domains.runtime.asked_queues import AskedQueues
from beamlens.domains.runtime.asked_schedulers import AskedSchedulers
from beamlens.domains.runtime.asked_work import AskedWork
from beamlens.domains.runtime.look import Look, interned_strings, look
from beamlens.domains.runtime.watch import Watch
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import process, stacks
from beamlens.probes.gil import GilReading, gil_enabled, ticker
from beamlens.probes.process import ProcessNumbers

_MB = 1e6
_UNWATCHED = "measured while this domain is watched"
_WHY = {
    "event_loops": _UNWATCHED,
    "loop_lag_ms": "no event loop has answered yet",
    "loop_blocked_pct": _UNWATCHED,
    "executor_stuck_s": _UNWATCHED,
}


class RuntimeDomain(AskedWork, AskedQueues, AskedSchedulers, AskedBinaries, AskedAtoms, AskedLoops, Domain):
    """The Python runtime of this process: memory, threads, file descriptors, the GIL.

    Utilisation is against the limits that really apply: control group, resource limits, machine; in a control group
    all of its processes count. ``run_queue_ms`` is how late a sleeping thread wakes up; the ``gil_`` numbers are the
    part of it in which it waited for the GIL, with waits for a processor (noisy neighbours, throttling, steal) taken
    off, and only where this process's own threads explain it. Sensors tell steady growth of memory, descriptors,
    threads, tasks and queued work, a GIL that is kept, an event loop that is blocked by what it runs itself, and a
    thread pool whose threads all stand still while work waits. Processes here are threads, tasks and actors; reductions
    are CPU time; message queues are mailboxes, executors' queues and loops' ready queues. ``_pct`` of CPU: 100 is one
    core.
    """

    name: ClassVar[str] = "runtime"
    title: ClassVar[str] = "Python runtime"
    metrics: ClassVar[tuple[Metric, ...]] = declared.METRICS
    sensors: ClassVar[tuple[Sensor, ...]] = declared.SENSORS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticking_in: int | None = None
        self._cpu_before: tuple[float, float] | None = None
        self.watch = Watch()

    def snapshot(self) -> dict[str, Any]:
        """All metrics, and each limit with its source; about 0.3 ms."""
        gil = self._gil()
        now = look(gil)
        data: dict[str, Any] = {
            **{name: value if value is None else round(value, 3) for name, value in now.sensed().items()},
            **now.bounds(),
            "interned_strings": interned_strings(),
            "run_queue_ms": None if gil is None else round(gil.p95_ms, 3),
            "cpu_pct": self._cpu(now.numbers),
            **{name: value if value is None else round(value, 3) for name, value in self.watch.sense().items()},
        }
        missing = {name: _WHY.get(name) or now.reason(name) for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; about 0.5 ms. The first time it starts the stack sampler."""
        self.watch.start()
        return {**look(self._gil()).sensed(), **self.watch.sense()}

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Look closer with the stack sampler, the heap walk and the tasks; up to 4 seconds, in slices."""
        # All is imported with the domain: a process that has run out of descriptors can import nothing.
        match sensor.name.partition("_")[0]:
            case "memory":
                return memory.explain(sensor)
            case "descriptor":
                return descriptors.explain(sensor)
            case "thread":
                return threads.explain(sensor)
            case "gil":
                return gil.explain(sensor)
            case "blocked":
                return crowded.explain_loop(sensor, self.watch)
            case "executor":
                return crowded.explain_executor(sensor, self.watch)
            case "task":
                return crowded.explain_task(sensor, self.watch)
        return []

    def close(self) -> None:
        """Stop the GIL ticker and the sampler, if this started them; another look would start them again."""
        self.watch.stop()
        with self._lock:
            if self._ticking_in == os.getpid():
                ticker.stop()
            self._ticking_in = None

    def _gil(self) -> GilReading | None:
        """The ticker's last seconds. The first look starts it, also the first one in a forked child."""
        with self._lock:
            if self._ticking_in != os.getpid():
                try:
                    ticker.start()
                except RuntimeError:  # no more threads: all the more reason to go on looking
                    return None
                self._ticking_in = os.getpid()
        return ticker.read()

    def _look(self) -> Look:
        return look(self._gil())

    def _cpu(self, numbers: ProcessNumbers | None) -> float | None:
        if numbers is None:
            return None
        now = time.monotonic()
        before, self._cpu_before = self._cpu_before, (now, numbers.cpu_seconds)
        if before is None or now - before[0] < 0.05:
            return None
        return round(100 * (numbers.cpu_seconds - before[1]) / (now - before[0]), 1)

    @callback
    def get_memory(self) -> dict[str, Any]:
        """Memory in MB: rss, address_space, limit, limit_source, utilization_pct, allocated_blocks of Python."""
        now = self._look()
        if now.numbers is None:
            return error("unavailable", now.failure)
        of_limit = now.bounds()
        return {
            "rss_mb": round(now.numbers.rss / _MB, 2),
            "address_space_mb": round(now.numbers.vms / _MB, 2),
            "limit_mb": of_limit["memory_limit_mb"],
            "limit_source": of_limit["memory_limit_source"],
            "utilization_pct": now.sensed()["memory_utilization_pct"],
            "allocated_blocks": sys.getallocatedblocks(),
        }

    @callback
    def get_processes(self) -> dict[str, Any]:
        """Threads and descriptors: thread_count, python_threads, thread_limit, descriptor_count, descriptor_limit."""
        now = self._look()
        names = ("thread_limit", "thread_limit_source", "descriptor_limit", "descriptor_limit_source")
        return {
            "thread_count": None if now.numbers is None else now.numbers.threads,
            "python_threads": threading.active_count(),
            "descriptor_count": now.descriptors,
            **{name: value for name, value in now.bounds().items() if name in names},
        }

    @callback
    def get_schedulers(self) -> dict[str, Any]:
        """The GIL and the processors: run_queue_ms, gil_wait_pct, gil_contention_ms, gil_stall_ms, not_gil_pct, cores.

        not_gil_pct is the share of time that a thread was late for other reasons; cpu_cores is what the process used.
        """
        gil = self._gil()
        if gil is None:
            return error("not_yet", "the ticker has not run for half a second; ask again")
        return {
            "gil": gil_enabled(),
            "switch_interval_ms": sys.getswitchinterval() * 1e3,
            "median_lateness_ms": round(gil.lateness_ms, 3),
            "run_queue_ms": round(gil.p95_ms, 3),
            "max_lateness_ms": round(gil.max_ms, 3),
            "gil_wait_pct": round(gil.contention_share * 100, 2),
            "gil_contention_ms": round(gil.contention_ms, 3),
            "gil_stall_ms": round(gil.stall_ms, 3),
            "not_gil_pct": round(gil.elsewhere_share * 100, 2),
            "cpu_cores": round(gil.cpu_cores, 3),
            "cores": look(gil).bounds()["cores"],
        }

    @callback
    def get_atoms(self) -> dict[str, Any]:
        """Interned strings, the nearest thing to an atom table: count. CPython 3.12 and later."""
        count = interned_strings()
        if count is None:
            return error("unsupported", "CPython tells the number of interned strings from 3.12 on")
        return {"count": count}

    @callback
    def get_system(self) -> dict[str, Any]:
        """The interpreter: implementation, version, platform, uptime_seconds, modules, recursion_limit."""
        started = process.started()
        return {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "platform": platform.platform(),
            "uptime_seconds": None if started is None else round(time.time() - started, 1),
            "started_at": None if started is None else datetime.fromtimestamp(started, UTC).isoformat(),
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
