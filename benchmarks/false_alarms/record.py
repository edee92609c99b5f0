"""Records what all built-in domains say of a running workload, five times a second, and what would have been told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.false_alarms.workloads import NAMES, RESTARTS

EVERY = 0.2
"""Seconds between two rows."""
ALERTS = ".alerts"
"""Suffix of the file beside a recording that holds the alerts and insights of its process."""


def record(folder: Path, seconds: float, day: float, seed: int) -> None:
    """Record every workload, all at the same time, each in processes of its own.

    Args:
        folder: Where the recordings go; made when it is missing.
        seconds: How long.
        day: Seconds that stand for a day.
        seed: For what the workloads do by chance.

    Raises:
        RuntimeError: A process failed; says how.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []

    def run(name: str) -> None:
        parts = RESTARTS.get(name, 1)
        for part in range(parts):
            path = folder / f"{name.replace(' ', '-')}.{part}.jsonl"
            command = [sys.executable, "-m", "benchmarks.false_alarms.watched", name, str(path)]
            command += [str(seconds / parts), str(100 * seed + part), str(day)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                failures.append(f"{name}: {ended.stderr[-2000:]}")

    threads = [threading.Thread(target=run, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError("\n".join(failures))
    print(f"recorded {len(NAMES)} workloads for {time.monotonic() - began:.0f} s", file=sys.stderr)


def load(path: Path) -> list[Mapping[str, Mapping[str, float]]]:
    """A recording's rows: domain to metric to value."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def load_told(path: Path) -> list[Mapping[str, Any]]:
    """What the process of a recording told: ``kind`` (alert, insight), ``at`` in seconds, ``text``, for alerts more."""
    return [json.loads(line) for line in path.with_suffix(ALERTS).read_text().splitlines()]


def parts(folder: Path, name: str) -> list[Path]:
    """The recordings of a workload, in order."""
    return sorted(folder.glob(f"{name.replace(' ', '-')}.*.jsonl"))
