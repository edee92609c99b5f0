"""The `system` domain: the machine, or container, that this process runs on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.system import declared, identity, neighbours, numbers, why
from beamlens.domains.system.disks import Disk
from beamlens.domains.system.host import Looker
from beamlens.domains.system.neighbours import Processes
from beamlens.domains.system.space import Spaces
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens_actors import AbortSignal, clock

_MB = 1e6
_PATIENCE = 1.0
_NEVER_FULL = 525_600.0
_SAMPLE = 0.5
_MEMORY = 60.0
_MOST_CORES = 128


class SystemDomain(Domain):
    """The machine or container under this process: processors, memory, swap, disks, network, pressure, limits.

    A busy machine is not a sick one: load and ``cpu_pct`` alone mean little. What hurts is waiting: ``pressure_``,
    ``cpu_throttled_pct`` (the container's CPU limit), ``cpu_steal_pct`` (the hypervisor), memory moved to and from
    swap, and disks that are full soon (``disk_minutes_to_full``, by measured growth). Memory counts as used only when
    it cannot be given back. In a container the load and the memory are the whole machine's; the limits are its own, and
    ``runtime`` watches this process against them.
    """

    name: ClassVar[str] = "system"
    title: ClassVar[str] = "Machine and container"
    metrics: ClassVar[tuple[Metric, ...]] = declared.METRICS
    sensors: ClassVar[tuple[Sensor, ...]] = declared.SENSORS

    def __init__(self, root: str | Path = "/", spaces: Spaces | None = None) -> None:
        """Watch a machine.

        Args:
            root: Where ``proc`` and ``sys`` are: another place than ``/`` when the host's are mounted into a container.
            spaces: Asks the file systems.
        """
        self._root = Path(root)
        self._looker = Looker(self._root, spaces or Spaces())
        self._lock = threading.Lock()
        self._processes: tuple[float, Processes] | None = None

    def snapshot(self) -> dict[str, Any]:
        """All metrics, with the limits of the container; about 1 ms, and a second at most while a disk hangs."""
        host = self._looker.look(_PATIENCE)
        data: dict[str, Any] = numbers.metrics(host, self._root)
        missing = {name: numbers.reason(name, host) for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; about 1 ms. Never waits for a disk."""
        host = self._looker.look()
        data = numbers.metrics(host, self._root)
        # A sensor goes quiet by a number, not by the lack of one.
        if data["disk_minutes_to_full"] is None and any(disk.space is not None for disk in host.disks):
            data["disk_minutes_to_full"] = _NEVER_FULL
        if data["tcp_retransmit_pct"] is None and host.between is not None:
            data["tcp_retransmit_pct"] = 0.0
        return data

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Look closer at limits, disks and processes; up to 4 seconds."""
        return why.explain(sensor, self._looker)

    def excerpt(self, limit: int = 5) -> list[str]:
        """Where it runs, and the disks that are the fullest."""
        told = identity.read(self._root)
        where = ", ".join(f"{name} {value}" for name, value in told.items() if value and name != "boot_id")
        disks = [disk for disk in self._looker.look().disks if disk.space is not None]
        disks.sort(key=lambda disk: -(disk.space.used_pct if disk.space else 0.0))
        return [where, *(f"{disk.mount.path}: {disk.space.used_pct:g}% used" for disk in disks if disk.space)][:limit]

    @callback
    def get_cpu(self) -> Any:
        """Processors: load, cores, shares in percent since the last look (a second ago), in all and per core. 1 ms.

        busy, iowait and steal are percent of the processor time; 128 cores at most are listed.
        """
        host = self._looker.look()
        if host.counters.processors is None and host.load is None:
            return _unsupported("processors")
        between = host.between
        usage = between.usage if between is not None else None
        load = host.load or (None, None, None)
        return {
            "load_1m": load[0],
            "load_5m": load[1],
            "load_15m": load[2],
            "machine_cores": host.machine_cores,
            "usable_cores": host.cores,
            "busy_pct": usage.busy if usage else None,
            "iowait_pct": usage.iowait if usage else None,
            "steal_pct": usage.steal if usage else None,
            "context_switches_per_s": between.switches_per_s if between is not None else None,
            "process_count": len(found.found) if (found := neighbours.read(self._root)) else None,
            "by_core": [
                {"core": name, "busy_pct": one.busy, "iowait_pct": one.iowait, "steal_pct": one.steal}
                for name, one in list((between.cores if between is not None else {}).items())[:_MOST_CORES]
            ],
        }

    @callback
    def get_memory(self) -> Any:
        """Memory and swap of the machine in MB: total, used (what cannot be given back), available, cached. 1 ms."""
        host = self._looker.look()
        memory, between = host.counters.memory, host.between
        if memory is None:
            return _unsupported("memory")
        return {
            "total_mb": _mb(memory.total),
            "used_mb": _mb(memory.total - memory.available),
            "available_mb": _mb(memory.available),
            "free_mb": _mb(memory.free),
            "buffered_mb": _mb(memory.buffers),
            "cached_mb": _mb(memory.cached),
            "used_pct": memory.used_pct,
            "swap_total_mb": _mb(memory.swap_total),
            "swap_free_mb": _mb(memory.swap_free),
            "swap_in_mb_per_s": between.swap_in_mb_per_s if between is not None else None,
            "swap_out_mb_per_s": between.swap_out_mb_per_s if between is not None else None,
            "oom_kills": memory.oom_kills,
        }

    @callback
    def get_disks(self) -> Any:
        """Each real, writable file system once, the fullest first: mount, MB, percent, inodes. 64 at most.

        One that does not answer within a second says so; it is never waited for.
        """
        found = self._looker.look(_PATIENCE).disks
        return [_disk(disk) for disk in sorted(found, key=lambda disk: -(disk.space.used_pct if disk.space else 101))]

    @callback
    def disk_growth(self) -> Any:
        """Disks that grow steadily now: MB a second, seen for how long, minutes until full. Measured every 2 s.

        minutes_to_full is told up to four hours, and up to thirty times as far as the growth was seen.
        """
        return [
            {
                **_disk(disk),
                "growth_mb_per_s": round(disk.growth.data["rate_per_s"], 3),
                "seen_for_s": round(disk.growth.data["seconds"]),
                "minutes_to_full": None if disk.seconds_to_full is None else round(disk.seconds_to_full / 60, 1),
            }
            for disk in self._looker.look(_PATIENCE).disks
            if disk.growth.active
        ]

    @callback
    def get_pressure(self) -> Any:
        """Pressure stall information for cpu, memory, io: some, full, percent of 10, 60 and 300 s; of whom. 1 ms.

        some: a task waited; full: all tasks waited at once.
        """
        host = self._looker.look()
        if not host.pressure:
            return error("unsupported", "this kernel does not tell pressure (PSI is off or not built in)")
        return {"of": host.pressure_of, **host.pressure}

    @callback
    def get_network(self) -> Any:
        """Each network interface: bytes, packets, errors and drops a second, both directions; TCP retransmits. 1 ms.

        64 interfaces at most, of this network namespace.
        """
        host = self._looker.look()
        if host.counters.network is None:
            return _unsupported("the network")
        if host.between is None:
            return error("not_yet", "rates are measured between two looks, half a second apart; ask again")
        return {
            "tcp_retransmit_pct": host.between.retransmit_pct,
            "interfaces": [{"name": name, **rates} for name, rates in host.between.interfaces.items()],
        }

    @callback
    def get_cgroup(self) -> Any:
        """The container's limits and how often it hit them: CPU, memory, processes; cgroup version 1 or 2. 1 ms.

        throttled of periods is since the container started; throttled_pct since the last look.
        """
        host = self._looker.look()
        group = host.counters.group
        if group.version is None:
            return error("unsupported", "this process is in no control group, or the system does not tell")
        between = host.between
        return {
            "version": group.version,
            "cpu_limit_cores": None if group.cpu_cores is None else round(group.cpu_cores, 3),
            "throttled_pct": between.throttled_pct if between is not None else None,
            "throttled_ms_per_s": between.throttled_ms_per_s if between is not None else None,
            "periods": group.periods,
            "throttled": group.throttled,
            "throttled_seconds": group.throttled_seconds,
            "memory_limit_mb": _mb(group.memory_bytes),
            "memory_high_mb": _mb(group.memory_high_bytes),
            "memory_used_mb": _mb(group.memory_used_bytes),
            "memory_high_events": group.high_events,
            "oom_kills": group.oom_kills,
            "pids": group.pids,
            "pids_limit": group.pids_limit,
        }

    @callback
    def top_processes(self, limit: int = 10, sort_by: str = "cpu") -> Any:
        """The processes of this host that can be seen, the first by cpu, memory or disk: pid, name, no arguments.

        At most 50 of 4096; 20 us each, in slices, and half a second to measure rates when it was not asked in the last
        minute. cpu_pct 100 is one core; what another user's process writes is null unless this process may read it.
        """
        keys = {"cpu": "cpu_pct", "memory": "memory_mb", "disk": "written_mb_per_s"}
        if sort_by not in keys:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(keys)}")
        measured = self._measure()
        if measured is None:
            return _unsupported("processes")
        used, now = measured
        rows: list[dict[str, Any]] = [
            {
                "pid": one.process.pid,
                "name": one.process.name,
                "parent": one.process.parent,
                "state": one.process.state,
                "threads": one.process.threads,
                "cpu_pct": one.cpu_pct,
                "memory_mb": round(one.process.rss / _MB, 2),
                "written_mb_per_s": one.written_mb_per_s,
            }
            for one in used
        ]
        rows.sort(key=lambda row: -(row[keys[sort_by]] or 0.0))
        return {
            "total_processes": len(now.found),
            "hidden": now.hidden,
            "complete": now.complete,
            "processes": rows[: clamp(limit)],
        }

    @callback
    def get_identity(self) -> dict[str, Any]:
        """Where this runs: container, pod, node, service, platform, system, kernel; null is not told. 1 ms."""
        return identity.read(self._root)

    def _measure(self) -> tuple[list[neighbours.Usage], Processes] | None:
        with self._lock:
            held = self._processes
            if held is None or clock.monotonic() - held[0] > _MEMORY:
                first = neighbours.read(self._root, disks=True)
                if first is None:
                    return None
                held = clock.monotonic(), first
            left = _SAMPLE - (clock.monotonic() - held[0])
            if left > 0:
                AbortSignal().wait(left)
            now = neighbours.read(self._root, disks=True)
            if now is None:
                return None
            at = clock.monotonic()
            self._processes = at, now
        return neighbours.usage(held[1], now, max(0.01, at - held[0])), now


def _disk(disk: Disk) -> dict[str, Any]:
    row: dict[str, Any] = {"mount": disk.mount.path, "kind": disk.mount.kind, "source": disk.mount.source}
    row["remote"] = disk.mount.remote
    space = disk.space
    if space is None:
        return row | {"total_mb": None, "used_pct": None, "unavailable": disk.failure}
    return row | {
        "total_mb": _mb(space.total),
        "available_mb": _mb(space.available),
        "used_pct": space.used_pct,
        "inodes_used_pct": space.inodes_used_pct,
    }


def _mb(size: int | None) -> float | None:
    return None if size is None else round(size / _MB, 2)


def _unsupported(what: str) -> dict[str, Any]:
    return error("unsupported", f"this system does not tell about {what}")
