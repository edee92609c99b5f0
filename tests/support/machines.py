"""Made-up machines: a folder with the files of the kernel that the domain `system` reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

MEMINFO = """\
MemTotal:        8000000 kB
MemFree:          400000 kB
MemAvailable:    {available} kB
Buffers:          100000 kB
Cached:          5000000 kB
SwapTotal:       2000000 kB
SwapFree:        1500000 kB
"""
MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 0:6 / /dev rw - devtmpfs udev rw
25 22 0:22 / /run rw,nosuid - tmpfs tmpfs rw
26 22 254:2 / /data rw - xfs /dev/vdb rw
27 22 254:2 /sub /srv/data\\040too rw - xfs /dev/vdb rw
28 22 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
29 22 254:1 /etc/hosts /etc/hosts rw - ext4 /dev/vda1 rw
30 22 0:40 / /mnt/nas rw - nfs4 nas:/export rw
31 22 254:9 / /media/cd ro - iso9660 /dev/sr0 ro
"""
STAT = """\
cpu  {user} 0 {system} {idle} {iowait} 0 0 {steal} 0 0
cpu0 {user} 0 {system} {idle} {iowait} 0 0 {steal} 0 0
cpu1 0 0 0 100 0 0 0 0 0 0
ctxt {switches}
btime 1700000000
"""
DEVICES = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0
  eth0: {rx} 10 {errors} 0 0 0 0 0 {tx} 10 0 0 0 0 0 0
"""  # noqa: E501 - as the kernel writes it
SNMP = "Tcp: RtoMin OutSegs RetransSegs\nTcp: 200 {sent} {again}\n"


class Machine:
    """A machine of which every number can be set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", MEMINFO.format(available=6_000_000))
        self.write("proc/vmstat", "nr_free 1\npswpin 100\npswpout 100\noom_kill 2\n")
        self.write("proc/loadavg", "1.50 1.20 0.90 2/345 6789\n")
        self.write("proc/uptime", "7200.5 100.0\n")
        self.write("proc/self/mountinfo", MOUNTS)
        self.write("proc/self/cgroup", "0::/\n")
        self.cpu()
        self.network()
        self.disk()

    def write(self, name: str, text: str) -> None:
        """Write one of its files: at once as a whole, as the kernel's are read."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}")
        fresh.write_text(text)
        fresh.replace(path)

    def cpu(self, *, user: int = 0, system: int = 0, idle: int = 100, iowait: int = 0, steal: int = 0) -> None:
        """Set the counters of its first processor; the second one is idle."""
        told = {"user": user, "system": system, "idle": idle, "iowait": iowait, "steal": steal}
        self.write("proc/stat", STAT.format(**told, switches=1000 + 10 * user))

    def network(self, *, rx: int = 0, tx: int = 0, errors: int = 0, sent: int = 0, again: int = 0) -> None:
        """Set the counters of its network."""
        self.write("proc/self/net/dev", DEVICES.format(rx=rx, tx=tx, errors=errors))
        self.write("proc/self/net/snmp", SNMP.format(sent=sent, again=again))

    def disk(self, *, read: int = 0, written: int = 0, busy: int = 0) -> None:
        """Set the counters of its disk: sectors and milliseconds."""
        self.write("proc/diskstats", f" 254 1 vda1 {1 + read} 0 {read} 0 1 0 {written} 0 0 {busy} 0\n")

    def pressure(self, folder: str, suffix: str = "", *, some: float = 0.0, full: float = 0.0) -> None:
        """Set its pressure, of the machine (``proc/pressure``) or a control group."""
        for name in ("cpu", "memory", "io"):
            rest = "avg60=1.00 avg300=0.50 total=1"
            self.write(f"{folder}/{name}{suffix}", f"some avg10={some:.2f} {rest}\nfull avg10={full:.2f} {rest}\n")

    def version2(self, *, periods: int = 0, throttled: int = 0, high: int = 0, killed: int = 0) -> None:
        """Put it into a control group of version 2, of half a core and 512 MB."""
        group = "sys/fs/cgroup"
        self.write(f"{group}/cgroup.controllers", "cpu memory pids\n")
        self.write(f"{group}/cpu.max", "50000 100000\n")
        stat = f"usage_usec 5\nnr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {throttled * 50_000}\n"
        self.write(f"{group}/cpu.stat", stat)
        self.write(f"{group}/memory.max", "512000000\n")
        self.write(f"{group}/memory.high", "max\n")
        self.write(f"{group}/memory.current", "300000000\n")
        self.write(f"{group}/memory.events", f"low 0\nhigh {high}\nmax 0\noom 0\noom_kill {killed}\n")
        self.write(f"{group}/pids.current", "12\n")
        self.write(f"{group}/pids.max", "100\n")

    def version1(self, *, periods: int = 0, throttled: int = 0) -> None:
        """Put it into control groups of version 1, of one and a half cores; the parent has no limit."""
        self.write("proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n")
        base = "sys/fs/cgroup"
        self.write(f"{base}/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n")
        self.write(f"{base}/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
        stat = f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_time {throttled * 50_000_000}\n"
        self.write(f"{base}/cpu,cpuacct/job/cpu.stat", stat)
        self.write(f"{base}/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
        self.write(f"{base}/memory/job/memory.limit_in_bytes", "256000000\n")
        self.write(f"{base}/memory/job/memory.usage_in_bytes", "100000000\n")
        self.write(f"{base}/memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
        self.write(f"{base}/memory/memory.limit_in_bytes", "9223372036854771712\n")


def space(total: int, used: int, *, files: int = 1000, free_files: int = 900, reserved: int = 0) -> SimpleNamespace:
    """What ``os.statvfs`` says of a disk, in blocks of one megabyte."""
    return SimpleNamespace(
        f_frsize=1_000_000,
        f_blocks=total,
        f_bfree=total - used,
        f_bavail=total - used - reserved,
        f_files=files,
        f_ffree=free_files,
    )
