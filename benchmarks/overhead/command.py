"""`python -m benchmarks overhead [MEASURE ...]`: every measure of this folder, or those named."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

_PARTS = {"command", "hot_path", "stall"}


def measures() -> list[str]:
    """The names of the measures: the modules of this folder that run one."""
    return sorted(info.name for info in pkgutil.iter_modules([str(Path(__file__).parent)]) if info.name not in _PARTS)


def run(rounds: int, names: tuple[str, ...] = ()) -> None:
    """Run the measures named, all by default."""
    for name in names or measures():
        importlib.import_module(f"benchmarks.overhead.{name}").run(rounds)
