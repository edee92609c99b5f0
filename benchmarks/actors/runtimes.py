"""The runtimes by name, and how each is made; nothing of a peer is imported before it is needed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from benchmarks.actors.measures import Measure, MissingError, Peer


@dataclass(frozen=True, slots=True)
class Runtime:
    """A column of the table."""

    name: str
    module: str
    kind: str = ""
    """What the module's `connect` is given, for modules that serve two."""
    scale: float = 1.0
    """Of every count: a runtime that is much slower or faster does fewer or more, so that all take about as long."""
    memory: int = 2_000
    live: int = 12_000
    package: str = "benchmarks.actors"

    def count(self, measure: Measure, *, quick: bool) -> int:
        """How often it does the measure in one process."""
        if measure.name in ("memory", "live"):
            count = self.memory if measure.name == "memory" else self.live
            return max(20, count // 10) if quick else count
        scale = min(1.0, self.scale) if quick else self.scale
        return max(20, int((measure.quick if quick else measure.count) * scale))

    def connect(self) -> Peer:
        """Import it and make it ready.

        Raises:
            MissingError: it cannot be had here.
        """
        try:
            module = importlib.import_module(f"{self.package}.{self.module}")
        except ImportError as error:
            raise MissingError(f"not installed ({error}); pip install -e '.[bench]'") from error
        peer: Peer = module.connect(self.kind)
        return peer


BASELINE = "pykka"
RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("pykka", "pykka_peer"),
        Runtime("bare-threads", "floor_peer"),
        Runtime("beamlens-threads", "beamlens_peer", "threads"),
        Runtime("beamlens-greenlets", "beamlens_peer", "greenlets", memory=10_000, live=100_000),
        Runtime("thespian-simple", "thespian_peer", "simpleSystemBase", scale=0.5),
        Runtime("thespian-queue", "thespian_peer", "multiprocQueueBase", scale=0.02),
        Runtime("xoscar", "xoscar_peer", scale=0.1, memory=10_000, live=20_000),
        Runtime("erlang", "erlang_peer", scale=5.0, memory=10_000, live=100_000),
    )
}
