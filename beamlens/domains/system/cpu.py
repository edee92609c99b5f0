"""Processor time of the machine: in all and per core, what waits for disks, what the hypervisor took."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from beamlens.domains.system import proc

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_ROOT = Path("/")
Times = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Processors:
    """Counters since the system started.

    Attributes:
        total: Mode to time of all cores together, in any unit.
        cores: The same of each core.
        switches: Context switches, ``None`` where it is not told.
    """

    total: Times
    cores: Mapping[str, Times]
    switches: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Shares of processor time between two readings, percent; ``None`` is what this system does not tell."""

    busy: float
    iowait: float | None
    steal: float | None


def read(root: Path = _ROOT) -> Processors | None:
    """Read the counters; about 0.05 ms. ``None`` where the system does not tell."""
    content = proc.text(root / "proc/stat")
    if not content:
        return _elsewhere() if root == _ROOT else None
    lines = {words[0]: words[1:] for line in content.splitlines() if (words := line.split())}
    cores = {name: _times(values) for name, values in lines.items() if name.startswith("cpu") and name != "cpu"}
    if "cpu" not in lines:
        return None
    return Processors(_times(lines["cpu"]), cores, proc.number("".join(lines.get("ctxt", [])[:1])))


def _times(values: list[str]) -> dict[str, float]:
    return {mode: float(value) for mode, value in zip(_MODES, values, strict=False) if value.isdigit()}


def _elsewhere() -> Processors | None:
    """Systems without ``/proc``."""
    try:
        cores = {f"cpu{index}": one._asdict() for index, one in enumerate(psutil.cpu_times(percpu=True))}
        return Processors(psutil.cpu_times()._asdict(), cores, None)
    except (OSError, RuntimeError, NotImplementedError):
        return None


def usage(before: Times, now: Times) -> Usage | None:
    """What the processors did between two readings; ``None`` when no time passed."""
    # iowait may go backwards; a core that went offline starts again.
    passed = {mode: max(0.0, now[mode] - before.get(mode, 0.0)) for mode in now}
    total = sum(passed.values())
    if total <= 0:
        return None
    idle = passed.get("idle", 0.0) + passed.get("iowait", 0.0)
    share = {mode: round(100 * value / total, 2) for mode, value in passed.items()}
    return Usage(round(100 * (total - idle) / total, 2), share.get("iowait"), share.get("steal"))


def load(root: Path = _ROOT) -> tuple[float, float, float] | None:
    """Load averages of 1, 5 and 15 minutes; ``None`` where the system does not tell."""
    words = proc.text(root / "proc/loadavg").split()
    try:
        if len(words) >= 3:
            return float(words[0]), float(words[1]), float(words[2])
        return os.getloadavg() if root == _ROOT else None
    except (OSError, ValueError, AttributeError):
        return None
