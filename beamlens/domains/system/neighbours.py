"""The processes of this host (or of this container, when it sees no others): who uses processors, memory, disks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from beamlens.domains.system import proc
from beamlens.probes.slices import Slices

_MOST = 4096
_HERTZ = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        pid: Its id.
        name: Its name, as the kernel keeps it: 15 characters, never arguments.
        parent: Its parent's id.
        state: ``R`` runs, ``S`` sleeps, ``D`` waits for a disk, ``Z`` ended and not waited for.
        threads: Its threads.
        cpu: CPU seconds so far.
        rss: Resident memory, bytes.
        written: Bytes written to disks so far; ``None`` where that may not be read.
        started: When it started, in ticks: with the id, what tells it from a later process.
    """

    pid: int
    name: str
    parent: int
    state: str
    threads: int
    cpu: float
    rss: int
    written: int | None
    started: int


@dataclass(frozen=True, slots=True)
class Processes:
    """All processes that can be seen.

    Attributes:
        found: By id.
        hidden: How many could not be read.
        complete: Whether there were not more than are read.
    """

    found: dict[int, Process]
    hidden: int
    complete: bool


def read(root: Path, *, disks: bool = False) -> Processes | None:
    """Read them; about 20 us each, 4096 at most, in slices. ``None`` where the system does not tell.

    Args:
        root: Where ``proc`` is.
        disks: Read also what they wrote, which takes as long again.
    """
    try:
        pids = sorted(int(name) for name in os.listdir(root / "proc") if name.isdigit())  # noqa: PTH208 - names wanted
    except OSError:
        return None
    found, hidden, slices = {}, 0, Slices()
    for pid in pids[:_MOST]:
        slices.pause()
        one = _read(root / "proc" / str(pid), pid, disks=disks)
        if one is None:
            hidden += 1
        else:
            found[pid] = one
    return Processes(found, hidden, complete=len(pids) <= _MOST) if pids else None


def _read(folder: Path, pid: int, *, disks: bool) -> Process | None:
    content = proc.text(folder / "stat")
    # The name stands in brackets and may contain anything, brackets too.
    name, _, rest = content.partition("(")[2].rpartition(") ")
    words = rest.split()
    try:
        cpu = (int(words[11]) + int(words[12])) / _HERTZ
        written = proc.fields(proc.text(folder / "io")).get("write_bytes") if disks else None
        return Process(
            pid, name, int(words[1]), words[0], int(words[17]), cpu, int(words[21]) * _PAGE, written, int(words[19])
        )
    except (IndexError, ValueError):  # ended meanwhile, or hidden
        return None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used between two readings.

    Attributes:
        process: The process, at the second.
        cpu_pct: 100 is one core.
        written_mb_per_s: To disks, ``None`` where that may not be read.
    """

    process: Process
    cpu_pct: float
    written_mb_per_s: float | None


def usage(before: Processes, now: Processes, seconds: float) -> list[Usage]:
    """Of each process that was there at both readings."""
    used = []
    for pid, one in now.found.items():
        earlier = before.found.get(pid)
        if earlier is None or earlier.started != one.started:
            continue
        wrote = None
        if one.written is not None and earlier.written is not None:
            wrote = round(max(0, one.written - earlier.written) / seconds / 1e6, 3)
        used.append(Usage(one, round(100 * max(0.0, one.cpu - earlier.cpu) / seconds, 1), wrote))
    return used
