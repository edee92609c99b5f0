"""What a suite of several runtimes consists of; series, report and plot work for each of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.actors.measures import Measure, Metric
from benchmarks.actors.runtimes import Runtime


@dataclass(frozen=True, slots=True)
class Goal:
    """What a metric is to be: at most so many times that of another runtime, or at most a number."""

    metric: str
    runtime: str
    at_most: float
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures, and who does them."""

    name: str
    title: str
    measures: Mapping[str, Measure]
    runtimes: Mapping[str, Runtime]
    baseline: str
    """The runtime that all others are compared with."""
    goals: tuple[Goal, ...] = ()

    @property
    def metrics(self) -> dict[str, Metric]:
        """The rows of the table."""
        return {metric.key: metric for measure in self.measures.values() for metric in measure.metrics}


def get_suite(name: str) -> Suite:
    """The one that `benchmarks.<name>.suite` declares."""
    found: Suite = importlib.import_module(f"benchmarks.{name}.suite").SUITE
    return found
