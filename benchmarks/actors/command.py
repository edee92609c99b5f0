"""`python -m benchmarks actors|supervision`: Beamlens beside its peers, every figure measured in this run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.actors import report
from benchmarks.actors.series import SERIES, Plan, Results, run
from benchmarks.suite import Suite, get_suite


def main(arguments: Sequence[str], name: str = "actors") -> int:
    """Parse, measure, print."""
    suite = get_suite(name)
    parser = _parser(suite)
    options = parser.parse_args(arguments)
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats must be at least 1")
    for path in (options.json, options.plot):
        if path is not None and not path.parent.is_dir():
            parser.error(f"there is no directory {str(path.parent)!r}")
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install -e '.[bench]'")
    plan = Plan(
        runtimes=_chosen(parser, "--runtimes", options.runtimes, tuple(suite.runtimes)),
        measures=_chosen(parser, "--only", options.only, tuple(suite.measures)),
        series=_series(parser, options.series),
        repeats=options.repeats or (1 if options.quick else 3),
        quick=options.quick,
        limit=20.0 if options.quick else 90.0,
        suite=name,
    )
    if options.plot is not None and suite.baseline not in plan.runtimes:
        parser.error(f"--plot draws ratios to {suite.baseline}, which --runtimes leaves out")
    results = measure(plan)
    if options.json is not None:
        options.json.write_text(report.as_json(results) + "\n", encoding="utf-8")
    return 0 if options.plot is None else _draw(results, options.plot)


def measure(plan: Plan) -> Results:
    """Run the plan and print what it found."""
    facts = report.machine()
    print(f"{plan.suite}, {facts['implementation']} {facts['python']}, {facts['usable_cpus']} CPUs, {facts['system']}")
    results = run(plan, _progress)
    _progress("")
    versions = [f"{name} {version}" for name, version in results.versions.items()]
    print(f"{'; '.join(versions)}\n\n{report.text(results)}")
    return results


def _parser(suite: Suite) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {suite.name}", description=__doc__)
    parser.add_argument("--repeats", type=int, metavar="N", help="processes a runtime (default 3, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages: to look, not to quote")
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(suite.measures)}")
    parser.add_argument("--runtimes", metavar="A,B", help=f"of {', '.join(suite.runtimes)}")
    parser.add_argument("--series", metavar="A,B", help=f"of {', '.join(SERIES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every raw value and the machine")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="the ratios as bars")
    return parser


def _chosen(parser: argparse.ArgumentParser, option: str, given: str | None, choices: Sequence[str]) -> tuple[str, ...]:
    """What was asked for, in the order of the choices."""
    if given is None:
        return tuple(choices)
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in choices:
            parser.error(f"{option}: there is no {name!r}; choose of: {', '.join(choices)}")
    return tuple(name for name in choices if name in names)


def _series(parser: argparse.ArgumentParser, given: str | None) -> tuple[str, ...]:
    chosen = _chosen(parser, "--series", given, SERIES)
    if hasattr(os, "sched_setaffinity"):
        return chosen
    print("this system cannot pin a process to a CPU, so that series is left out")
    return tuple(name for name in chosen if name != "pinned")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line:<70}", end="" if line else "\r", file=sys.stderr, flush=True)


def _draw(results: Results, path: Path) -> int:
    from benchmarks.actors.plot import draw

    try:
        draw(results, path)
    except ValueError as error:
        print(f"no plot: {error}", file=sys.stderr)
        return 1
    return 0
