"""Records what every built-in domain says of a running workload, ten times a second."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.false_alarms.workloads import NAMES, RESTARTS, program

EVERY = 0.1
_WATCH = """
import json, sys, threading, time
from beamlens import Beamlens
from beamlens.domains import built_in, built_in_names

def makes(name):
    try:
        built_in(name)()
    except TypeError:
        return False
    return True

lens = Beamlens.start(watchers=[name for name in built_in_names() if name != "anomaly" and makes(name)])

def record(path, seconds):
    domains = {name: lens.domain(name) for name in (one.name for one in lens.list_watchers())}
    with open(path, "w") as file:
        began = time.monotonic()
        due = began
        while due < began + seconds:
            row = {}
            for name, one in domains.items():
                found = one.snapshot().items()
                row[name] = {k: v for k, v in found if isinstance(v, (int, float)) and not isinstance(v, bool)}
            file.write(json.dumps(row) + "\\n")
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))
    import os
    os._exit(0)

threading.Thread(target=record, args=(sys.argv[1], float(sys.argv[2])), daemon=True).start()
"""


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
            source = f"EVERY = {EVERY}\n" + _WATCH + program(name, 100 * seed + part, day)
            path = folder / f"{name.replace(' ', '-')}.{part}.jsonl"
            command = [sys.executable, "-c", source, str(path), str(seconds / parts)]
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


def parts(folder: Path, name: str) -> list[Path]:
    """The recordings of a workload, in order."""
    return sorted(folder.glob(f"{name.replace(' ', '-')}.*.jsonl"))
