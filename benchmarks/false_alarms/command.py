"""`python -m benchmarks false-alarms`: how often a healthy process would wake somebody.

Five healthy processes (idle, load waves, deploys, batch jobs, GC-heavy) run with every built-in domain that needs no
argument; what the domains say is recorded ten times a second. Each row is then replayed as a collection of 30 seconds,
so that `--seconds` 576 (the default) become two days. Nothing is invented, but time is stretched: what a domain sums up
over a minute is smoother than it would be, what lasts a second counts as five minutes. The first two hours are learned
from; alarms are escalations of the `anomaly` domain, of which each would be one alert. That it is not just deaf: each
metric is once made ten times what it was, and counts as noticed when that is told within ten collections.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from beamlens.domains.anomaly.options import Options
from benchmarks.false_alarms.record import EVERY, parts, record
from benchmarks.false_alarms.replay import replay
from benchmarks.false_alarms.workloads import NAMES


def main(arguments: Sequence[str]) -> int:
    """Run as a command of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks false-alarms", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=576.0, help="of recording (default 576: two days)")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="record to DIR; replay what is there already")
    parser.add_argument("--seed", type=int, default=0, help="for what the workloads do by chance (default 0)")
    parser.add_argument("--verbose", action="store_true", help="list the alarms")
    options = parser.parse_args(arguments)
    if options.seconds < 60:
        parser.error("--seconds must be at least 60: two hours are learned from")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.recordings or Path(scratch)
        if not any(parts(folder, name) for name in NAMES):
            record(folder, options.seconds, 86_400 / Options().interval * EVERY, options.seed)
        report(folder, verbose=options.verbose)
    return 0


def report(folder: Path, *, verbose: bool) -> None:
    """Replay all, and print a line each and the sum."""
    days = alarms = 0.0
    for name in NAMES:
        found = replay(parts(folder, name), Options())
        days, alarms = days + found.days, alarms + len(found.alarms)
        left = ", ".join(f"{count} {metric}" for metric, count in found.departures.most_common(3))
        print(
            f"  {name:11} {found.metrics:3} metrics, {found.days:.1f} days judged: {len(found.alarms)} alarms, "
            f"noticed {found.noticed} of {found.tried} rises, {found.departures.total()} departures ({left})"
        )
        for sentence in found.alarms if verbose else ():
            print(f"      {sentence}")
    print(f"  all: {alarms:.0f} alarms in {days:.1f} days, {alarms / days if days else 0:.2f} a day and process")
