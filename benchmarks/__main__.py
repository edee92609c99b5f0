"""`python -m benchmarks [log-call] [footprint] [actors] [--rounds N]`.

`python -m benchmarks actors` alone takes options of its own: `--help` after it lists them.
"""

from __future__ import annotations

import argparse
import platform
import sys

from benchmarks import footprint, log_call
from benchmarks.actors import command as actors
from benchmarks.actors.series import Plan


def _actors(rounds: int) -> None:
    actors.measure(Plan(repeats=rounds))


SUITES = {"log-call": log_call.run, "footprint": footprint.run, "actors": _actors}


def main() -> int:
    """Run the chosen suites, all by default."""
    if sys.argv[1:2] == ["actors"]:
        return actors.main(sys.argv[2:])
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
    for name in options.suites or SUITES:
        SUITES[name](options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
