"""Pressure stall information: the share of time in which tasks wait for a processor, for memory or for disks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from beamlens.domains.system import proc
from beamlens.domains.system.cgroup import Files

Resource = Literal["cpu", "memory", "io"]
RESOURCES: tuple[Resource, ...] = ("cpu", "memory", "io")
Pressure = dict[str, dict[str, float]]
"""``some`` (at least one task waits) and ``full`` (all wait) to ``avg10``, ``avg60``, ``avg300`` in percent."""


def read(root: Path, files: Files) -> tuple[dict[Resource, Pressure], str]:
    """Read it for this process's own control group where the kernel tells, else for the machine; about 0.1 ms.

    Returns:
        Resource to its pressure, and of whom it is: ``"cgroup"``, ``"host"``, or ``""`` when nothing is told.
    """
    own = _told({name: files.first(f"{name}.pressure") for name in RESOURCES})
    if own:
        return own, "cgroup"
    host = _told({name: proc.text(root / "proc/pressure" / name) for name in RESOURCES})
    return host, "host" if host else ""


def _told(contents: Mapping[Resource, str]) -> dict[Resource, Pressure]:
    return {name: found for name, content in contents.items() if (found := _parse(content))}


def _parse(content: str) -> Pressure:
    found: Pressure = {}
    for line in content.splitlines():
        kind, *pairs = line.split()
        values = (pair.partition("=") for pair in pairs)
        found[kind] = {name: float(value) for name, _, value in values if name.startswith("avg") and _is_number(value)}
    return found


def _is_number(content: str) -> bool:
    return content.replace(".", "", 1).isdigit()
