"""Processor time that a runnable thread does not get: run queue, steal, throttling.

Linux; elsewhere nothing is told.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_MOST_THREADS = 128


class RunQueue:
    """Seconds that the thread that made it has waited for a processor.

    Attributes:
        known: Whether the system tells. Some kernels and sandboxes have the file, but only zeros in it.
    """

    def __init__(self) -> None:
        self.known = False
        try:
            self._file: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            self._inode = os.fstat(self._file).st_ino
        except OSError:
            self._file = None
        self.seconds()

    def seconds(self) -> float:
        """Read it anew; about 2 us. 0 where the system does not tell."""
        if self._file is None:
            return 0.0
        try:
            ran, waited, *_ = os.pread(self._file, 100, 0).split()
            self.known = self.known or int(ran) > 0
            return int(waited) / 1e9
        except (OSError, ValueError):
            return 0.0

    def close(self) -> None:
        """Give the descriptor back, unless the host closed it and uses the number for something else."""
        file, self._file = self._file, None
        try:
            if file is not None and os.fstat(file).st_ino == self._inode:
                os.close(file)
        except OSError:
            pass


def run_delays(root: Path = Path("/proc/self")) -> dict[int, float]:
    """Seconds in the run queue of each thread of this process, by native id; about 10 us a thread, 128 at most."""
    found: dict[int, float] = {}
    try:
        for task in os.listdir(root / "task")[:_MOST_THREADS]:  # noqa: PTH208 - often
            with open(root / "task" / task / "schedstat", "rb") as file:  # noqa: PTH123 - often, and small
                found[int(task)] = int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        pass
    return found


def stolen_seconds(cgroups: list[Path]) -> float:
    """Seconds stolen by the hypervisor, a processor each, and throttled by the control groups.

    Args:
        cgroups: Folders of the process's control groups; see `limits.cgroup_folders`.
    """
    try:
        stolen = float(getattr(psutil.cpu_times(), "steal", 0.0)) / (psutil.cpu_count() or 1)
    except (OSError, RuntimeError, ValueError):
        stolen = 0.0
    return stolen + max((_throttled(folder / "cpu.stat") for folder in cgroups), default=0.0)


def _throttled(file: Path) -> float:
    try:
        fields = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
        if "throttled_usec" in fields:
            return int(fields["throttled_usec"]) / 1e6
        return int(fields.get("throttled_time", 0)) / 1e9
    except (OSError, ValueError):
        return 0.0
