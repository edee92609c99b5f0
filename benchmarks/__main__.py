"""`python -m benchmarks [overhead] [agent] [actors] [supervision] [--rounds N]`.

`overhead:MEASURE` runs one measure of the suite, as in `overhead:log_call`.
`python -m benchmarks actors` or `supervision` alone takes options of its own: `--help` after it lists them.
`python -m benchmarks anomaly --nab DIR` scores the streaming detector on a labelled corpus.
`python -m benchmarks false-alarms` records healthy processes and counts the alarms of the `anomaly` domain.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from functools import partial

from benchmarks.actors import command as peers
from benchmarks.actors.series import Plan
from benchmarks.agent import command as agent
from benchmarks.anomaly import command as anomaly
from benchmarks.false_alarms import command as false_alarms
from benchmarks.overhead import command as overhead
from benchmarks.suite import get_suite


def _peers(name: str, rounds: int) -> None:
    suite = get_suite(name)
    peers.measure(Plan(tuple(suite.runtimes), tuple(suite.measures), repeats=rounds, suite=name))


BESIDE_PEERS = ("actors", "supervision")
SUITES: dict[str, Callable[[int], object]] = {
    "overhead": overhead.run,
    **{f"overhead:{name}": partial(overhead.run, names=(name,)) for name in overhead.measures()},
    "agent": agent.run,
    **{name: partial(_peers, name) for name in BESIDE_PEERS},
}


def main() -> int:
    """Run the chosen suites, all by default."""
    if sys.argv[1:] and sys.argv[1] in BESIDE_PEERS:
        return peers.main(sys.argv[2:], sys.argv[1])
    if sys.argv[1:2] == ["anomaly"]:
        return anomaly.main(sys.argv[2:])
    if sys.argv[1:2] == ["false-alarms"]:
        return false_alarms.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"one of {', '.join(SUITES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each variant (default 5)")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"there is no suite {unknown[0]!r}; the suites are: {', '.join(SUITES)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    print(f"CPython {platform.python_version()}, {platform.machine()}; median (least to most)")
    for name in options.suites or [name for name in SUITES if ":" not in name]:
        SUITES[name](options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
