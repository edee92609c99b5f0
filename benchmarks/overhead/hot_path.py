"""A measure of something that the host does often: bare, with Beamlens watching, with each peer that is installed."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.measure import in_turns, spread

_PROGRAM = """
import json, statistics, time
{setup}
{operation}

def series(count={count}):
    began, cpu = time.perf_counter_ns(), time.process_time_ns()
    for number in range(count):
        once(number)
    return (time.perf_counter_ns() - began) / count / 1000, (time.process_time_ns() - cpu) / count / 1000

# What starts must have started: its first look, its imports.
ready = time.perf_counter() + 1.2
while time.perf_counter() < ready:
    series({count} // 10)
times, cpus = zip(*(series() for _ in range(5)))
print(json.dumps({{"us": statistics.median(times), "cpu_us": statistics.median(cpus)}}), flush=True)
{end}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to run the operation.

    Attributes:
        setup: Python text before the operation is defined.
        end: Python text after the measurement.
        needs: The module that must be importable, or the side is left out with a word.
    """

    setup: str = ""
    end: str = ""
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class HotPath:
    """An operation of the host, and what stands beside it.

    Attributes:
        title: What is measured, for the heading.
        operation: Python text that defines ``once(number)``; it may use what ``setup`` of its side defines.
        sides: The first one is what the others are compared with.
        count: Operations in one of the five series of a process.
        goal_us: What Beamlens may add to an operation, in microseconds.
    """

    title: str
    operation: str
    sides: Mapping[str, Side] = field(default_factory=dict)
    count: int = 20_000
    goal_us: float | None = None

    def run(self, rounds: int) -> None:
        """Measure and print; each side `rounds` times, in turns, in processes of their own."""
        variants: dict[str, str] = {}
        for name, side in self.sides.items():
            if side.needs is not None and not _is_installed(side.needs):
                print(f"{self.title}: {name} is not installed, so it is left out (pip install -e '.[bench]')")
                continue
            variants[name] = _PROGRAM.format(setup=side.setup, operation=self.operation, count=self.count, end=side.end)
        rows = in_turns(variants, rounds)
        found = {name: [row["us"] for row in of] for name, of in rows.items()}
        # All threads of the process, and none of the others: what stays the same on a machine that has more to do.
        cpus = {name: statistics.median(row["cpu_us"] for row in of) for name, of in rows.items()}
        bare, bare_cpu = statistics.median(next(iter(found.values()))), next(iter(cpus.values()))
        goal = "" if self.goal_us is None else f" (goal for Beamlens: at most {self.goal_us:g} us added)"
        print(f"{self.title}; us each, {rounds} processes a side{goal}:")
        for name, values in found.items():
            middle = statistics.median(values)
            cpu = f"of CPU {cpus[name]:.2f}, added {cpus[name] - bare_cpu:+.2f}"
            print(f"  {name:14} {spread(values):28} x{middle / bare:.2f}  added {middle - bare:+.2f} us  ({cpu})")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


EXIT_AT_ONCE = "import os; os._exit(0)"
"""For peers that would wait for their network at exit."""
