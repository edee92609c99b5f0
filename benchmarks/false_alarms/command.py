"""`python -m benchmarks false-alarms`: how often a healthy process would wake somebody.

Five healthy processes (idle, load waves, deploys, batch jobs, GC-heavy) run with all built-in domains watched and
with something for each of them: requests through WSGI, SQLite behind a pool, calls to another service on the loopback,
a supervision tree, a thread pool, queues, an event loop, caches. Time is not played, but crowded: a day's events (a
wave of load, 24 small and two large batch jobs, three deploys) come within 576 seconds. Two things are counted:

alerts: what the watchers with their sensors and the offline analyst fire while the processes run, in real time, so an
    hour of it sees the events of six days.
escalations: those of the `anomaly` domain. What the domains say is recorded five times a second, and each row is then
    replayed as a collection of 30 seconds, so that `--seconds` 1152 (the default) become two days. What a domain sums
    up over a minute is smoother than it would be, what lasts a second counts as two and a half minutes. The first two
    hours are learned from.

That it is not just deaf: each metric is once made ten times what it was, and counts as noticed when that is told
within ten collections.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from beamlens.domains.anomaly.options import Options
from benchmarks.false_alarms.record import EVERY, load_told, parts, record
from benchmarks.false_alarms.replay import replay
from benchmarks.false_alarms.workloads import NAMES


def main(arguments: Sequence[str]) -> int:
    """Run as a command of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks false-alarms", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1152.0, help="of recording (default 1152: two days)")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="record to DIR; replay what is there already")
    parser.add_argument("--seed", type=int, default=0, help="for what the workloads do by chance (default 0)")
    parser.add_argument("--verbose", action="store_true", help="list the alarms")
    options = parser.parse_args(arguments)
    if options.seconds < 120:
        parser.error("--seconds must be at least 120: two hours are learned from")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.recordings or Path(scratch)
        if not any(parts(folder, name) for name in NAMES):
            record(folder, options.seconds, _day(), options.seed)
        report(folder, verbose=options.verbose)
    return 0


def report(folder: Path, *, verbose: bool) -> None:
    """Print a line for each process and the sums: alerts as they came, and the replay."""
    days = escalations = hours = alerts = 0.0
    for name in NAMES:
        found = replay(parts(folder, name), Options())
        told = [row for path in parts(folder, name) for row in load_told(path)]
        fired = [row for row in told if row["kind"] == "alert"]
        days, escalations = days + found.days, escalations + len(found.alarms)
        hours, alerts = hours + found.rows * EVERY / 3600, alerts + len(fired)
        left = ", ".join(f"{count} {metric}" for metric, count in found.departures.most_common(3))
        print(
            f"  {name:11} {len(fired)} alerts in {found.rows * EVERY / 60:.0f} minutes; {found.metrics:3} metrics, "
            f"{found.days:.1f} days judged: {len(found.alarms)} escalations, noticed {found.noticed} of {found.tried} "
            f"rises, {found.departures.total()} departures ({left})"
        )
        for row in told if verbose else ():
            print(f"      {row['kind']} at {row['at']:.0f} s: {row.get('domain', '')} {row['text']}")
        for sentence in found.alarms if verbose else ():
            print(f"      escalation: {sentence}")
    print(
        f"  all: {alerts:.0f} alerts in {hours:.1f} hours of processes, which hold the events of "
        f"{hours * 3600 / _day():.0f} days; {escalations:.0f} escalations in {days:.1f} days, "
        f"{escalations / days if days else 0:.2f} a day and process"
    )


def _day() -> float:
    """Seconds of a recording that stand for a day."""
    return 86_400 / Options().interval * EVERY
