"""See `benchmarks.suite`."""

from __future__ import annotations

from benchmarks.actors.measures import MEASURES
from benchmarks.actors.runtimes import BASELINE, RUNTIMES
from benchmarks.suite import Suite

SUITE = Suite("actors", "Actors", MEASURES, RUNTIMES, BASELINE)
