"""The control groups of this process: limits, throttling, memory events; versions 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beamlens.domains.system import proc
from beamlens.probes import limits

_UNLIMITED_V1 = 1 << 60
_NAMES = (
    "cpu.max", "cpu.cfs_quota_us", "cpu.stat", "memory.events", "memory.oom_control", "memory.max",
    "memory.limit_in_bytes", "memory.high", "memory.current", "memory.usage_in_bytes", "pids.current", "pids.max",
    "cpu.pressure", "memory.pressure", "io.pressure",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """What bounds this process as a group, and how often it hit the bounds; ``None``: no bound, or not told.

    Attributes:
        version: 1 or 2; ``None`` without control groups.
        cpu_cores: The CPU quota, in cores.
        memory_bytes: The hard memory limit.
        memory_high_bytes: The limit from which on the kernel slows the group down.
        memory_used_bytes: What the group uses, caches included.
        periods: Scheduling periods since the group was made.
        throttled: Those in which the group used up its quota and had to wait.
        throttled_seconds: How long it waited.
        high_events: How often the group was slowed down at ``memory.high``.
        oom_kills: Its processes that the kernel killed for want of memory.
        pids: Its processes and threads.
        pids_limit: Their limit.
    """

    version: int | None = None
    cpu_cores: float | None = None
    memory_bytes: int | None = None
    memory_high_bytes: int | None = None
    memory_used_bytes: int | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_seconds: float | None = None
    high_events: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    pids_limit: int | None = None


class Files:
    """The files of this process's control groups that are there, its own before its parents'."""

    def __init__(self, root: Path) -> None:
        """Look which there are; about 1 ms.

        Args:
            root: Where ``proc`` and ``sys`` are.
        """
        folders = [folder for folder in limits.cgroup_folders(root) if folder.is_dir()]
        self._paths = {name: [str(folder / name) for folder in folders if (folder / name).is_file()] for name in _NAMES}
        legacy = any((root / "sys/fs/cgroup" / name).is_dir() for name in ("memory", "cpu", "cpu,cpuacct"))
        unified = any((folder / "cgroup.controllers").exists() for folder in folders)
        self.version = 1 if legacy else 2 if unified else None

    def first(self, name: str) -> str:
        """The text of the nearest one that tells anything."""
        return next((content for path in self._paths[name] if (content := proc.text(path))), "")

    def number(self, *names: str) -> int | None:
        """The nearest number."""
        return next((value for name in names if (value := proc.number(self.first(name))) is not None), None)

    def lowest(self, *names: str) -> int | None:
        """The lowest limit of the group and its parents."""
        values = [proc.number(proc.text(path)) for name in names for path in self._paths[name]]
        return min((value for value in values if value is not None and value < _UNLIMITED_V1), default=None)

    def quotas(self) -> list[tuple[float, Path]]:
        """CPU quotas in cores with their folders, the lowest first."""
        found = []
        pairs = [(path, *proc.text(path).partition(" ")[::2]) for path in self._paths["cpu.max"]]
        pairs += [
            (path, proc.text(path), proc.text(Path(path).with_name("cpu.cfs_period_us")))
            for path in self._paths["cpu.cfs_quota_us"]
        ]
        for path, quota, period in pairs:
            most, every = proc.number(quota), proc.number(period)
            if most and every:
                found.append((most / every, Path(path).parent))
        return sorted(found, key=lambda pair: pair[0])


def read(files: Files) -> Group:
    """Read the group; about 0.2 ms.

    A limit is the lowest of the group and its parents. Throttling is that of the group with the lowest quota: there it
    happens.
    """
    if files.version is None:
        return Group()
    quotas = files.quotas()
    stat = proc.fields(proc.text(quotas[0][1] / "cpu.stat") if quotas else files.first("cpu.stat"))
    events = proc.fields(files.first("memory.events") or files.first("memory.oom_control"))
    nanoseconds, microseconds = stat.get("throttled_time"), stat.get("throttled_usec", 0)
    return Group(
        version=files.version,
        cpu_cores=quotas[0][0] if quotas else None,
        memory_bytes=files.lowest("memory.max", "memory.limit_in_bytes"),
        memory_high_bytes=files.lowest("memory.high"),
        memory_used_bytes=files.number("memory.current", "memory.usage_in_bytes"),
        periods=stat.get("nr_periods"),
        throttled=stat.get("nr_throttled"),
        throttled_seconds=None if not stat else microseconds / 1e6 if nanoseconds is None else nanoseconds / 1e9,
        high_events=events.get("high"),
        oom_kills=events.get("oom_kill"),
        pids=files.number("pids.current"),
        pids_limit=files.lowest("pids.max"),
    )
