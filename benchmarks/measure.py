"""Runs variants in processes of their own, in turns, so that a noisy machine hurts them alike."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def in_process(code: str, timeout: float = 120.0) -> dict[str, Any]:
    """Run code in a fresh interpreter; it prints one JSON object as its last line.

    Raises:
        RuntimeError: It failed; carries the end of its error output.
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def in_turns(variants: Mapping[str, str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Run each variant `rounds` times, one after the other in turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, code in variants.items():
            found[name].append(in_process(code))
    return found


def spread(values: Sequence[float]) -> str:
    """Median with the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
