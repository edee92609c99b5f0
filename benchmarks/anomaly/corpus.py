"""Reads a folder laid out as the benchmark's: ``data/<folder>/<file>.csv`` and ``labels/combined_windows.json``."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Series:
    """A file of the corpus.

    Attributes:
        name: Path under ``data``.
        times: Seconds since the epoch, a row each.
        values: The metric.
        windows: First and last row of each labelled window.
    """

    name: str
    times: list[float]
    values: list[float]
    windows: list[tuple[int, int]]


def load(folder: Path) -> list[Series]:
    """All files that have labels, in the order of their names.

    Raises:
        ValueError: The folder is not laid out so, or a file of the labels is broken.
    """
    labels = folder / "labels" / "combined_windows.json"
    if not labels.is_file():
        raise ValueError(f"{folder} is no corpus of the benchmark: {labels} is missing")
    windows: dict[str, list[list[str]]] = json.loads(labels.read_text(encoding="utf-8"))
    found = [_read(folder / "data" / name, name, windows[name]) for name in sorted(windows)]
    series = [one for one in found if one is not None]
    if not series:
        raise ValueError(f"{folder / 'data'} has none of the files that {labels} names")
    return series


def _read(path: Path, name: str, windows: list[list[str]]) -> Series | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = [time for time, _ in rows]
    spans = []
    for first, last in windows:
        inside = [index for index, time in enumerate(times) if _seconds(first) <= time <= _seconds(last)]
        if inside:
            spans.append((inside[0], inside[-1]))
    return Series(name, times, [value for _, value in rows], spans)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
