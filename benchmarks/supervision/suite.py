"""See `benchmarks.suite`."""

from __future__ import annotations

from benchmarks.suite import Goal, Suite
from benchmarks.supervision.measures import GROWTH, MEASURES
from benchmarks.supervision.runtimes import BASELINE, RUNTIMES

_GROWTH = [
    Goal(metric.key, runtime, GROWTH)
    for runtime in ("beamlens-greenlets", "beamlens-threads")
    for measure in MEASURES.values()
    for metric in measure.metrics
    if "growth" in metric.key
]
_RESTART = [
    Goal(f"{name}_p50", runtime, 1.0, other)
    for name in ("restart", "restart-logged")
    for runtime, other in (("beamlens-greenlets", "otp"), ("beamlens-threads", BASELINE))
]
SUITE = Suite("supervision", "Supervision", MEASURES, RUNTIMES, BASELINE, (*_RESTART, *_GROWTH))
