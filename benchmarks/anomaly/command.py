"""`python -m benchmarks anomaly --nab DIR`: the detector on a corpus of the Numenta Anomaly Benchmark.

DIR has `data/<folder>/<file>.csv` and `labels/combined_windows.json`, as a checkout of the benchmark has. Parameters
were chosen on every other file, from the first one on, of 31 of the benchmark's files; both halves are reported, and
the whole. Beside ours: the benchmark's Windowed Gaussian and firing at random, measured in the same run.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from beamlens.detect import StreamingDetector
from benchmarks.anomaly.corpus import Series, load
from benchmarks.anomaly.gaussian import WindowedGaussian
from benchmarks.anomaly.scoring import PROFILES, score

Update = Callable[[float, float], float]


def _random() -> Update:
    chance = random.Random(1)
    return lambda _timestamp, _value: chance.random()


DETECTORS: dict[str, Callable[[], Update]] = {
    "beamlens": lambda: StreamingDetector().update,
    "windowed gaussian": lambda: WindowedGaussian().update,
    "random": _random,
}


def main(arguments: Sequence[str]) -> int:
    """Run as a command of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks anomaly", description=__doc__)
    parser.add_argument("--nab", type=Path, required=True, metavar="DIR", help="folder with data/ and labels/")
    options = parser.parse_args(arguments)
    try:
        corpus = load(options.nab)
    except ValueError as wrong:
        parser.error(str(wrong))
    rows = sum(len(series.values) for series in corpus)
    windows = sum(len(series.windows) for series in corpus)
    print(f"{len(corpus)} files, {rows} rows, {windows} windows; {' / '.join(PROFILES)}")
    for name, make in DETECTORS.items():
        report(name, corpus, make)
    return 0


def report(name: str, corpus: Sequence[Series], make: Callable[[], Update]) -> None:
    """Run a detector over the corpus and print a line."""
    began = time.perf_counter()
    scores = []
    for series in corpus:
        update = make()
        scores.append([update(at, value) for at, value in zip(series.times, series.values, strict=True)])
    spent = (time.perf_counter() - began) / sum(len(series.values) for series in corpus) * 1e6
    parts = {"all": slice(None), "half chosen on": slice(0, None, 2), "other half": slice(1, None, 2)}
    found = []
    for part, cut in parts.items():
        results = [score(corpus[cut], scores[cut], profile) for profile in PROFILES.values()]
        found.append(f"{part} " + " / ".join(f"{result.score:.1f}" for result in results))
    print(f"  {name:18} {'; '.join(found)}; {spent:.1f} us a value")
