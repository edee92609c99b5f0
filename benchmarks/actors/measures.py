"""What is measured, in what unit, and how much of it in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    key: str
    title: str
    unit: str
    more_is_better: bool
    compared: bool = True
    """Whether dividing it by that of another runtime says something."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that a peer does `count` times, and the rows that come of it."""

    name: str
    """For `--only`."""
    count: int
    quick: int
    metrics: tuple[Metric, ...]
    alone: bool = False
    """Needs a process in which nothing else ran."""
    once: bool = False
    """A limit, not a speed: measured once, in the first series."""


def _rate(name: str, title: str, unit: str, count: int, quick: int) -> Measure:
    return Measure(name, count, quick, (Metric(name, title, unit, more_is_better=True),))


MEASURES = {
    measure.name: measure
    for measure in (
        _rate("tell", "tell, thread to actor", "k msg/s", 100_000, 10_000),
        _rate("tell-between", "tell, actor to actor", "k msg/s", 100_000, 10_000),
        Measure(
            "ask",
            10_000,
            1_000,
            (
                Metric("ask_p50", "ask from a thread, p50", "us", more_is_better=False),
                Metric("ask_p99", "ask from a thread, p99", "us", more_is_better=False),
            ),
        ),
        Measure("ask-between", 10_000, 1_000, (Metric("ask-between", "ask, actor to actor, mean", "us", False),)),
        _rate("spawn", "start and stop, from a thread", "k/s", 2_000, 200),
        _rate("spawn-inside", "start and stop, in an actor", "k/s", 2_000, 200),
        _rate("fan-in", "fan-in of 8 threads", "k msg/s", 100_000, 10_000),
        _rate("ping-pong", "ping-pong", "k msg/s", 50_000, 5_000),
        _rate("ring", "ring of 1 000, one token", "k hops/s", 20_000, 5_000),
        Measure(
            "restart",
            500,
            100,
            (
                Metric("restart_p50", "restart after a crash, p50", "us", more_is_better=False),
                Metric("restart_p99", "restart after a crash, p99", "us", more_is_better=False),
            ),
        ),
        Measure("memory", 0, 0, (Metric("memory", "memory of an idle actor", "KB", False),), alone=True),
        Measure(
            "live", 0, 0, (Metric("live", "live actors reached", "", True, compared=False),), alone=True, once=True
        ),
    )
}
METRICS = {metric.key: metric for measure in MEASURES.values() for metric in measure.metrics}

RING = 1_000
FAN_IN = 8
SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one measure gave: a value for each of its metrics, and what must be said beside them."""

    values: dict[str, float]
    note: str = ""


class MissingError(Exception):
    """A runtime that cannot be had here; the message says why."""


class NotOfferedError(Exception):
    """A runtime has no such thing; the message says what it lacks."""


class Peer(Protocol):
    """One runtime, measured in a process of its own."""

    version: str

    def measure(self, name: str, count: int) -> Finding:
        """Do the measure `name` with `count` messages or actors.

        Raises:
            NotOfferedError: this runtime has no such thing.
        """
        ...

    def close(self) -> None:
        """End what was started outside this process."""
        ...


def choose(table: dict[str, Callable[[int], Finding]], name: str) -> Callable[[int], Finding]:
    """The function for a measure.

    Raises:
        NotOfferedError: the table has none.
    """
    if name not in table:
        raise NotOfferedError("not offered")
    return table[name]


def rate(key: str, count: int, seconds: float) -> Finding:
    """Thousands a second."""
    return Finding({key: count / seconds / 1000})


def percentiles(prefix: str, seconds: Sequence[float]) -> Finding:
    """The p50 and p99 in microseconds."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
    return Finding({f"{prefix}_p50": p50 * 1e6, f"{prefix}_p99": p99 * 1e6})


def reached(asked: int, live: int, answered: int, sample: int, stopped_by: str) -> Finding:
    """How many actors lived at a time, and who says so."""
    end = f"stopped by {stopped_by}" if live < asked else "all that were asked for"
    return Finding({"live": live}, f"{live:,} live of {asked:,} asked ({end}); {answered:,} of {sample:,} answered")
