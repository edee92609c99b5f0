"""The runtimes by name; see `benchmarks.actors.runtimes`."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.actors.measures import Measure
from benchmarks.actors.runtimes import Runtime


@dataclass(frozen=True, slots=True)
class SupervisionRuntime(Runtime):
    """A column of the table; `largest` children are as many as it can have."""

    package: str = "benchmarks.supervision"
    largest: int = 100_000

    def count(self, measure: Measure, *, quick: bool) -> int:
        """See `Runtime.count`."""
        if measure.alone:
            return min(self.largest, measure.quick if quick else measure.count)
        return measure.quick if quick else measure.count


BASELINE = "pykka-naive"
RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        SupervisionRuntime(BASELINE, "pykka_peer", largest=10_000),
        SupervisionRuntime("beamlens-threads", "beamlens_peer", "threads", largest=10_000),
        SupervisionRuntime("beamlens-greenlets", "beamlens_peer", "greenlets"),
        SupervisionRuntime("otp", "otp_peer"),
    )
}
