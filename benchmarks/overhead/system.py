"""What a look at the machine costs, beside psutil asked for the same."""

from __future__ import annotations

from benchmarks.overhead.hot_path import HotPath, Side

_MEASURE = HotPath(
    title="a look at the machine: processors, memory, swap, disks, network, limits, pressure",
    operation="def once(number): look()",
    sides={
        "psutil": Side("""
import psutil
def look():
    psutil.cpu_times(percpu=True); psutil.virtual_memory(); psutil.swap_memory(); psutil.net_io_counters(pernic=True)
    psutil.disk_io_counters(perdisk=True); psutil.getloadavg()
    for one in psutil.disk_partitions(): psutil.disk_usage(one.mountpoint)
"""),
        "system.sense": Side("from beamlens.domains.system import SystemDomain\nlook = SystemDomain().sense"),
        "system.snapshot": Side("from beamlens.domains.system import SystemDomain\nlook = SystemDomain().snapshot"),
    },
    count=200,
)

run = _MEASURE.run
