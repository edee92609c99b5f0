"""The real limits of this process: control group, resource limits, machine."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED_V1 = 1 << 60


@dataclass(frozen=True, slots=True)
class Limit:
    """The lowest of the limits that apply.

    Attributes:
        value: Bytes for memory, a count for threads and descriptors, cores for CPU.
        source: Where it comes from, such as ``"cgroup memory.max"``.
    """

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds this process; ``None`` where nothing does or it is not known."""

    memory: Limit | None
    descriptors: Limit | None
    threads: Limit | None
    cores: Limit | None


def read(root: Path = Path("/")) -> Limits:
    """Read the limits; below 1 ms.

    Args:
        root: Where ``proc`` and ``sys`` are, for tests.
    """
    groups = _cgroup_folders(root)
    return Limits(
        memory=_lowest(
            _first(groups, "memory.max", "cgroup memory.max"),
            _first(groups, "memory.limit_in_bytes", "cgroup memory.limit_in_bytes", unlimited=_UNLIMITED_V1),
            _resource("RLIMIT_AS"),
            Limit(float(psutil.virtual_memory().total), "physical memory"),
        ),
        descriptors=_resource("RLIMIT_NOFILE"),
        threads=_lowest(
            _first(groups, "pids.max", "cgroup pids.max"),
            _resource("RLIMIT_NPROC"),
            _number(root / "proc/sys/kernel/threads-max", "kernel.threads-max"),
        ),
        cores=_lowest(_quota(groups), Limit(float(_affinity()), "CPU affinity")),
    )


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lowest(*limits: Limit | None) -> Limit | None:
    return min((limit for limit in limits if limit is not None), key=lambda limit: limit.value, default=None)


def _resource(name: str) -> Limit | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    kind = getattr(resource, name, None)
    if kind is None:
        return None
    soft, _hard = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else Limit(float(soft), name)


def _cgroup_folders(root: Path) -> list[Path]:
    """The folders of this process's control groups and their parents, the own one first."""
    base = root / "sys/fs/cgroup"
    folders = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        mounts = [base] if not controllers else [base / name for name in (controllers, *controllers.split(","))]
        for mount in mounts:
            folder = mount / path.lstrip("/")
            while True:
                folders.append(folder)
                if folder in (mount, base) or mount not in folder.parents:
                    break
                folder = folder.parent
    return list(dict.fromkeys([*folders, base]))


def _first(folders: list[Path], file: str, source: str, unlimited: float = math.inf) -> Limit | None:
    return _lowest(*(limit for folder in folders if (limit := _number(folder / file, source, unlimited))))


def _number(path: Path, source: str, unlimited: float = math.inf) -> Limit | None:
    text = _text(path).strip()
    if not text.isdigit() or float(text) >= unlimited:
        return None
    return Limit(float(text), source)


def _quota(folders: list[Path]) -> Limit | None:
    limits = []
    for folder in folders:
        parts = _text(folder / "cpu.max").split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit():
            limits.append(Limit(int(parts[0]) / int(parts[1]), "cgroup cpu.max"))
        quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():
            limits.append(Limit(int(quota) / int(period), "cgroup cpu.cfs_quota_us"))
    return _lowest(*limits)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
