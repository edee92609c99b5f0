"""The benchmark's scoring rules.

From the benchmark's paper and its scorer: the first 15 % of a file, at most 750 rows, are not scored; the first
detection in a window counts by a scaled sigmoid of its position; a missed window and each false point cost what the
profile says; one threshold for the whole corpus, the best one for the profile; the sum is scaled so that firing never
is 0 and firing at the first row of each window, and nowhere else, is 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.anomaly.corpus import Series

_PROBATION, _LONGEST_FILE = 0.15, 5000


@dataclass(frozen=True, slots=True)
class Profile:
    """What a hit, a missed window and a false point weigh."""

    hit: float
    miss: float
    false: float


PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "low FP": Profile(1.0, 1.0, 0.22),
    "low FN": Profile(1.0, 2.0, 0.11),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The best score of a profile, and the threshold that gives it (infinite: never to fire is best)."""

    score: float
    threshold: float


def sigmoid(position: float) -> float:
    """The benchmark's scaled sigmoid: near 1 at -1, 0 at 0, near -1 from 1 on."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def weigh(series: Series) -> list[tuple[int | None, float]]:
    """For each row: its window, and what a detection there is worth; a false one costs up to 1."""
    best = sigmoid(-1.0)
    found: list[tuple[int | None, float]] = []
    for row in range(len(series.values)):
        window = next((n for n, (first, last) in enumerate(series.windows) if first <= row <= last), None)
        if window is not None:
            first, last = series.windows[window]
            found.append((window, sigmoid(-(last - row + 1) / (last - first + 1)) / best))
            continue
        before = [(first, last) for first, last in series.windows if last < row]
        if not before:
            found.append((None, -1.0))
            continue
        first, last = before[-1]
        found.append((None, sigmoid((row - last) / (last - first) if last > first else math.inf)))
    return found


def score(corpus: Sequence[Series], scores: Sequence[Sequence[float]], profile: Profile) -> Result:
    """Sweep the threshold over the whole corpus.

    Args:
        corpus: The files.
        scores: A score for each row of each file.
        profile: The weights.
    """
    worth = [weigh(series) for series in corpus]
    detections = sorted(
        (
            (value, file, row)
            for file, values in enumerate(scores)
            for row, value in enumerate(values)
            if value > 0.0 and row >= math.floor(_PROBATION * min(len(values), _LONGEST_FILE))
        ),
        reverse=True,
    )
    windows = sum(len(series.windows) for series in corpus)
    never = -profile.miss * windows
    total, best = never, Result(never, math.inf)
    hits: dict[tuple[int, int], float] = {}
    for place, (value, file, row) in enumerate(detections):
        window, gain = worth[file][row]
        if window is None:
            total += profile.false * gain
        else:
            before = hits.get((file, window))
            total += profile.miss + profile.hit * gain if before is None else profile.hit * max(0.0, gain - before)
            hits[file, window] = gain if before is None else max(before, gain)
        last = place + 1 == len(detections) or detections[place + 1][0] != value
        if last and total > best.score:
            best = Result(total, value)
    perfect = profile.hit * windows
    return Result(100.0 * (best.score - never) / (perfect - never) if windows else 0.0, best.threshold)
