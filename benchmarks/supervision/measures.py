"""What is measured of supervisors, in what unit, and how much of it in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter

from benchmarks.actors.measures import Finding, Measure, Metric

SIZES = (1_000, 10_000, 100_000)
BATCH = 100
"""Restarts of one supervisor, and children in a storm: OTP goes through the list of its restarts at each of them."""
ALLOWED = 100_000
"""Restarts that no measure reaches."""
GROWTH = 13.0
"""Times the time for ten times the children: near linear, with room for a machine that is shared."""


def _restart(name: str, title: str) -> Measure:
    metrics = [Metric(f"{name}_{part}", f"{title}, {part}", "us", more_is_better=False) for part in ("p50", "p99")]
    return Measure(name, 1_000, 100, tuple(metrics))


def _sizes(name: str, title: str) -> Measure:
    metrics: list[Metric] = []
    for verb in ("start", "stop"):
        metrics += [Metric(f"{name}_{verb}_{size}", f"{title}: {verb} {size:,}", "us each", False) for size in SIZES]
        for small, large in pairwise(SIZES):
            growth = f"{title}: {verb} {large:,} for {small:,}"
            metrics.append(Metric(f"{name}_{verb}_growth_{large}", growth, "times", False, compared=False))
    return Measure(name, SIZES[-1], SIZES[0], tuple(metrics), alone=True)


MEASURES = {
    measure.name: measure
    for measure in (
        _restart("restart", "restart after a crash"),
        _restart("restart-logged", "restart, reports made and dropped"),
        Measure("storm", 5_000, 500, (Metric("storm", f"storm, {BATCH} crash at once", "k/s", more_is_better=True),)),
        Measure("tasks", 3_000, 300, (Metric("tasks", "task, run to result", "k/s", more_is_better=True),)),
        _sizes("children", "children known beforehand"),
        _sizes("dynamic", "children started one by one"),
    )
}


def sizes(name: str, largest: int, once: Callable[[int], tuple[float, float]]) -> Finding:
    """What `once`, which gives the seconds to start and to stop so many, gives for each size up to the largest."""
    once(100)
    found: dict[str, float] = {}
    for size in (size for size in SIZES if size <= largest):
        for verb, seconds in zip(("start", "stop"), once(size), strict=True):
            found[f"{name}_{verb}_{size}"] = seconds / size * 1e6
    for verb in ("start", "stop"):
        for small, large in pairwise(SIZES):
            if (after := found.get(f"{name}_{verb}_{large}")) is not None:
                found[f"{name}_{verb}_growth_{large}"] = after * large / (found[f"{name}_{verb}_{small}"] * small)
    note = "" if largest >= SIZES[-1] else f"up to {largest:,} children"
    return Finding(found, note)


@contextmanager
def reports() -> Iterator[None]:
    """Let reports of crashes be made, which are off elsewhere, and go nowhere."""
    root, nowhere = logging.getLogger(), logging.NullHandler()
    before = logging.root.manager.disable
    root.addHandler(nowhere)
    logging.disable(logging.NOTSET)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(nowhere)


def timed(work: Callable[[], object]) -> float:
    """Its seconds."""
    began = perf_counter()
    work()
    return perf_counter() - began
