"""The real limits of this process: control group, resource limits, machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_ROOT = Path("/")
_UNLIMITED_V1 = float(1 << 60)
_CONTROLLERS = frozenset({"memory", "pids", "cpu"})
_MEMORY_USED = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}


@dataclass(frozen=True, slots=True)
class Limit:
    """The lowest of the limits that apply.

    Attributes:
        value: Bytes for memory, a count for threads and descriptors, cores for CPU.
        source: Where it comes from, such as ``"cgroup memory.max"``.
        file: The control group's file that says it, ``None`` for other limits.
    """

    value: float
    source: str
    file: Path | None = field(default=None, compare=False)

    def used_by_group(self) -> float | None:
        """What all processes of the control group use of it together; ``None`` for other limits.

        For memory without the page cache, which the kernel takes back before it kills.
        """
        if self.file is None:
            return None
        if self.file.name == "pids.max":
            return _number(_text(self.file.with_name("pids.current")))
        used = _number(_text(self.file.with_name(_MEMORY_USED.get(self.file.name, ""))))
        if used is None:
            return None
        prefix = "" if self.file.name == "memory.max" else "total_"
        lines = (line.partition(" ") for line in _text(self.file.with_name("memory.stat")).splitlines())
        cached = {f"{prefix}active_file", f"{prefix}inactive_file"}
        return max(0.0, used - sum(_number(value) or 0.0 for name, _, value in lines if name in cached))


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds this process; ``None`` where nothing does or it is not known."""

    memory: Limit | None
    descriptors: Limit | None
    threads: Limit | None
    cores: Limit | None


def read(root: Path = _ROOT) -> Limits:
    """Read the limits; below 1 ms.

    Args:
        root: Where ``proc`` and ``sys`` are, for tests.
    """
    groups = cgroup_folders(root)
    return Limits(
        memory=_lowest(
            *_in_groups(groups, "memory.max"),
            *_in_groups(groups, "memory.limit_in_bytes"),
            _resource("RLIMIT_AS"),
            _physical_memory(root),
        ),
        descriptors=descriptors(),
        threads=_lowest(
            *_in_groups(groups, "pids.max"),
            _processes(),
            _system(root / "proc/sys/kernel/threads-max", "kernel.threads-max"),
        ),
        cores=_lowest(*_quotas(groups), _affinity()),
    )


def descriptors() -> Limit | None:
    """The limit of open descriptors alone; about 1 us."""
    return _resource("RLIMIT_NOFILE")


def cgroup_folders(root: Path = _ROOT) -> list[Path]:
    """The folders of this process's control groups and their parents, of both versions, the own ones first.

    Inside a container the path that the kernel tells is often the host's and not there; its parents are.
    """
    base = root / "sys/fs/cgroup"
    folders: list[Path] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        split = controllers.split(",")
        if controllers and _CONTROLLERS.isdisjoint(split):
            continue
        names = (controllers, *split) if controllers else ("", "unified")
        for mount in (base / name for name in names):
            folder = mount / path.lstrip("/")
            folders += [folder, *(parent for parent in folder.parents if parent == mount or mount in parent.parents)]
    return list(dict.fromkeys([*folders, base]))


def _lowest(*limits: Limit | None) -> Limit | None:
    return min((limit for limit in limits if limit is not None), key=lambda limit: limit.value, default=None)


def _in_groups(folders: list[Path], name: str) -> Iterator[Limit]:
    for folder in folders:
        value = _number(_text(folder / name))
        if value is not None and value < _UNLIMITED_V1:
            yield Limit(value, f"cgroup {name}", folder / name)


def _quotas(folders: list[Path]) -> Iterator[Limit]:
    for folder in folders:
        parts = _text(folder / "cpu.max").split()
        quota, period = (_number(part) for part in (parts if len(parts) == 2 else ("", "")))
        if quota and period:
            yield Limit(quota / period, "cgroup cpu.max")
        quota, period = (_number(_text(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        if quota and period:
            yield Limit(quota / period, "cgroup cpu.cfs_quota_us")


def _affinity() -> Limit:
    if hasattr(os, "sched_getaffinity"):
        return Limit(float(len(os.sched_getaffinity(0))), "CPU affinity")
    return Limit(float(os.cpu_count() or 1), "processors")


def _physical_memory(root: Path) -> Limit | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal" and (kilobytes := _number(value.removesuffix("kB"))) is not None:
            return Limit(kilobytes * 1024, "physical memory")
    try:
        return Limit(float(psutil.virtual_memory().total), "physical memory")
    except OSError:  # no descriptor left to read it with
        return None


def _processes() -> Limit | None:
    """``RLIMIT_NPROC``: of the user, all processes together. The kernel does not hold root to it."""
    return None if hasattr(os, "geteuid") and os.geteuid() == 0 else _resource("RLIMIT_NPROC")


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


def _system(path: Path, source: str) -> Limit | None:
    value = _number(_text(path))
    return None if value is None else Limit(value, source)


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
