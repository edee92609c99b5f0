"""From a look at the machine to the domain's metrics, and why one of them is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from beamlens.domains.system import proc
from beamlens.domains.system.disks import Disk
from beamlens.domains.system.host import Host

Numbers = dict[str, float | None]
_MB = 1e6


def metrics(host: Host, root: Path) -> Numbers:
    """Every metric of the domain."""
    return {**_processors(host), **_memory(host), **_disks(host), **_network(host), "uptime_hours": _uptime(root)}


def _processors(host: Host) -> Numbers:
    usage = host.between.usage if host.between is not None else None
    load = host.load or (None, None, None)
    cores = host.machine_cores
    return {
        "cpu_pct": usage.busy if usage else None,
        "cpu_iowait_pct": usage.iowait if usage else None,
        "cpu_steal_pct": usage.steal if usage else None,
        "cpu_load_1m": load[0],
        "cpu_load_5m": load[1],
        "cpu_load_15m": load[2],
        "load_per_core": None if load[0] is None or not cores else round(load[0] / cores, 2),
        "cpu_throttled_pct": host.between.throttled_pct if host.between is not None else None,
        "pressure_cpu_some_pct": host.pressed("cpu", "some"),
        "clock_step_s": host.clock_step_s,
    }


def _memory(host: Host) -> Numbers:
    memory, between = host.counters.memory, host.between
    swap = None
    if memory is not None and memory.swap_total and memory.swap_free is not None:
        swap = round(100 * (memory.swap_total - memory.swap_free) / memory.swap_total, 2)
    read_back = between.swap_in_mb_per_s if between is not None else None
    written = between.swap_out_mb_per_s if between is not None else None
    return {
        "memory_used_pct": None if memory is None else memory.used_pct,
        "memory_available_pct": None if memory is None else memory.available_pct,
        "swap_used_pct": swap,
        "swap_in_mb_per_s": read_back,
        "swap_out_mb_per_s": written,
        "swap_thrash_mb_per_s": None if read_back is None or written is None else min(read_back, written),
        "pressure_memory_full_pct": host.pressed("memory", "full"),
        "memory_high_per_s": between.high_per_s if between is not None else None,
        "oom_kills_1m": host.oom_kills_1m,
    }


def _disks(host: Host) -> Numbers:
    left = [disk.seconds_to_full / 60 for disk in host.disks if disk.seconds_to_full is not None]
    devices = host.between.devices if host.between is not None else {}
    return {
        "disk_max_used_pct": _most(host.disks, lambda disk: disk.space.used_pct if disk.space else None),
        "disk_max_inodes_pct": _most(host.disks, lambda disk: disk.space.inodes_used_pct if disk.space else None),
        "disk_minutes_to_full": round(min(left), 2) if left else None,
        "disk_busy_pct": max((device["busy_pct"] for device in devices.values()), default=None),
        "disks_hung": sum(disk.failure.startswith("does not answer") for disk in host.disks) if host.disks else None,
        "pressure_io_full_pct": host.pressed("io", "full"),
    }


def _most(disks: list[Disk], what: Callable[[Disk], float | None]) -> float | None:
    return max((value for disk in disks if (value := what(disk)) is not None), default=None)


def _network(host: Host) -> Numbers:
    if host.between is None or not host.between.interfaces:
        return dict.fromkeys((*_NETWORK, "tcp_retransmit_pct"))
    real = [rates for name, rates in host.between.interfaces.items() if name != "lo"]

    def total(*fields: str) -> float:
        return sum(rates.get(f"{field}_per_s", 0.0) for rates in real for field in fields)

    return {
        "net_rx_mb_per_s": round(total("rx_bytes") / _MB, 3),
        "net_tx_mb_per_s": round(total("tx_bytes") / _MB, 3),
        "net_errors_per_s": round(total("rx_errors", "tx_errors"), 2),
        "net_drops_per_s": round(total("rx_drops", "tx_drops"), 2),
        "tcp_retransmit_pct": host.between.retransmit_pct,
    }


_NETWORK = ("net_rx_mb_per_s", "net_tx_mb_per_s", "net_errors_per_s", "net_drops_per_s")


def _uptime(root: Path) -> float | None:
    words = proc.text(root / "proc/uptime").split()
    try:
        return round(float(words[0]) / 3600, 2) if words else None
    except ValueError:
        return None


def reason(name: str, host: Host) -> str:
    """Why a metric is ``None``."""
    later = "measured between two looks, half a second apart"
    counters = host.counters
    if name.startswith("pressure_"):
        return "this kernel does not tell pressure (PSI is off or not built in)"
    if name.startswith("disk"):
        return _no_disk(name, host)
    if name == "swap_used_pct":
        return "there is no swap" if counters.memory is not None else _UNKNOWN
    if name == "cpu_throttled_pct":
        return later if counters.group.periods is not None and host.between is None else "there is no CPU limit"
    if name == "memory_high_per_s":
        return later if counters.group.high_events is not None and host.between is None else "no cgroup version 2"
    if name == "tcp_retransmit_pct" and host.between is not None and counters.network is not None:
        return "too few segments are sent to tell"
    told = {"cpu": counters.processors, "swap": counters.memory, "net": counters.network, "tcp": counters.network}
    part = name.partition("_")[0]
    if host.between is None and told.get(part) is not None and not name.startswith("cpu_load"):
        return later
    return _UNKNOWN


_UNKNOWN = "this system does not tell"


def _no_disk(name: str, host: Host) -> str:
    if name == "disk_minutes_to_full" and host.disks:
        return "no disk grows steadily enough to be full within four hours"
    if name == "disk_busy_pct":
        if host.counters.traffic and host.between is None:
            return "measured between two looks, half a second apart"
        return _UNKNOWN
    if name == "disk_max_inodes_pct" and host.disks:
        return "no disk has a fixed number of inodes"
    return "no disk has answered yet, or there is none that can be written to"
