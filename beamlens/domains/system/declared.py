"""What the `system` domain measures, and when it is worth a look."""

from __future__ import annotations

from functools import partial

from beamlens.detect import Sensor, Threshold
from beamlens.metrics import Metric

_BUSY = 20.0

METRICS: tuple[Metric, ...] = (
    Metric("cpu_pct", "%", description="processors of the machine; busy by itself is no trouble", direction="none"),
    Metric("cpu_iowait_pct", "%", description="idle while a disk is waited for", direction="up", matters=20),
    Metric("cpu_steal_pct", "%", description="taken by the hypervisor for other machines", direction="up", matters=10),
    Metric("cpu_load_1m", "tasks", description="running or waiting for a disk, last minute", direction="none"),
    Metric("cpu_load_5m", "tasks", description="last 5 minutes", direction="none"),
    Metric("cpu_load_15m", "tasks", description="last 15 minutes", direction="none"),
    Metric(
        "load_per_core",
        "tasks",
        description="the load of the last minute for each core of the machine",
        direction="none",
    ),
    Metric(
        "cpu_throttled_pct",
        "%",
        description="of scheduling periods in which the CPU limit stopped the container",
        direction="up",
        matters=20,
    ),
    Metric(
        "memory_used_pct",
        "%",
        description="of the machine; caches that can be given back are not counted",
        direction="up",
        matters=15,
    ),
    Metric("memory_available_pct", "%", description="what programs can still get", direction="down", matters=15),
    Metric("swap_used_pct", "%", description="of the swap space; no trouble while nothing moves", direction="none"),
    Metric("swap_in_mb_per_s", "MB/s", description="read back from swap", direction="none"),
    Metric("swap_out_mb_per_s", "MB/s", description="written to swap", direction="none"),
    Metric(
        "swap_thrash_mb_per_s",
        "MB/s",
        description="the smaller of both: memory that is moved in circles",
        direction="up",
        matters=1,
    ),
    Metric(
        "pressure_cpu_some_pct",
        "%",
        description="of 10 s in which a task waited for a processor",
        direction="up",
        matters=50,
    ),
    Metric(
        "pressure_memory_full_pct",
        "%",
        description="of 10 s in which all tasks waited for memory",
        direction="up",
        matters=10,
    ),
    Metric(
        "pressure_io_full_pct",
        "%",
        description="of 10 s in which all tasks waited for disks",
        direction="up",
        matters=30,
    ),
    Metric(
        "memory_high_per_s", "1/s", description="slowed down at the container's memory.high", direction="up", matters=10
    ),
    Metric(
        "oom_kills_1m",
        "processes",
        description="killed for want of memory in the last minute",
        direction="up",
        matters=1,
    ),
    Metric("disk_max_used_pct", "%", description="of the fullest disk", direction="up", matters=5),
    Metric(
        "disk_max_inodes_pct", "%", description="of the disk with the fewest inodes left", direction="up", matters=5
    ),
    Metric(
        "disk_minutes_to_full",
        "min",
        description="of the disk that is full first, by its measured growth",
        direction="none",
    ),
    Metric("disk_busy_pct", "%", description="of the time in which the busiest disk worked", direction="none"),
    Metric("disks_hung", "disks", description="mounts that do not answer", direction="up", matters=1),
    Metric("net_rx_mb_per_s", "MB/s", description="received, all interfaces but the loopback", direction="none"),
    Metric("net_tx_mb_per_s", "MB/s", description="sent, all interfaces but the loopback", direction="none"),
    Metric("net_errors_per_s", "packets/s", description="damaged packets, both directions", direction="up", matters=10),
    Metric("net_drops_per_s", "packets/s", description="dropped packets, both directions", direction="up", matters=10),
    Metric(
        "tcp_retransmit_pct",
        "%",
        description="segments sent again, while at least 50 are sent in a second",
        direction="up",
        matters=10,
    ),
    Metric("clock_step_s", "s", description="last step of the wall clock in the last minute", direction="none"),
    Metric("uptime_hours", "h", description="since the machine started", direction="none"),
)


def _lasting(name: str, bound: Metric, seconds: float, kind: str = "") -> Sensor:
    return Sensor(name, bound.name, partial(Threshold, bound, lasting=seconds), kind or name)


# High load and full processors are what a busy machine is for; each of these must last, and be far beyond busy.
SENSORS: tuple[Sensor, ...] = (
    _lasting("cpu_steal", Metric("cpu_steal_pct", "%", high=10, critical=30), _BUSY),
    _lasting("load_over_cores", Metric("load_per_core", "tasks", high=3), 60.0),
    _lasting("cpu_throttling", Metric("cpu_throttled_pct", "%", high=30, critical=80), 10.0),
    _lasting("memory_available_low", Metric("memory_available_pct", "%", low=4), 10.0),
    _lasting("swap_storm", Metric("swap_thrash_mb_per_s", "MB/s", high=2, critical=20), 10.0),
    _lasting("cpu_pressure", Metric("pressure_cpu_some_pct", "%", high=85), 60.0),
    _lasting("memory_pressure", Metric("pressure_memory_full_pct", "%", high=10, critical=40), _BUSY),
    _lasting("io_pressure", Metric("pressure_io_full_pct", "%", high=50), _BUSY),
    _lasting("memory_throttling", Metric("memory_high_per_s", "1/s", high=10), 10.0, "memory_pressure"),
    _lasting("oom_kill", Metric("oom_kills_1m", "processes", high=1), 0.0),
    _lasting("disk_fills", Metric("disk_minutes_to_full", "min", low=240), 3.0, "disk_full"),
    _lasting("disk_used", Metric("disk_max_used_pct", "%", high=92, critical=97), 5.0, "disk_full"),
    _lasting("disk_inodes_used", Metric("disk_max_inodes_pct", "%", high=92, critical=97), 5.0, "disk_inodes_full"),
    _lasting("disk_hangs", Metric("disks_hung", "disks", high=1), 10.0),
    _lasting("network_errors", Metric("net_errors_per_s", "packets/s", high=10), _BUSY),
    _lasting("tcp_retransmits", Metric("tcp_retransmit_pct", "%", high=10, critical=30), _BUSY),
)
