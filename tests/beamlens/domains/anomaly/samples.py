"""Metrics that a test makes up, fed as collections would be."""

from __future__ import annotations

import random

from beamlens.domains.anomaly.detector import Detector
from beamlens.domains.anomaly.options import Options
from beamlens.metrics import Metric

LATENCY = Metric("latency_ms", "ms", high=1000.0)
EPOCH = 1_700_000_000.0


def noisy(level, seed=0, sigma=0.15):
    """A level with ordinary noise, as latencies have."""
    chance = random.Random(seed)
    return lambda: level * chance.lognormvariate(0, sigma)


class Feeding:
    """A detector and a clock of collections."""

    def __init__(self, *declared, domain="orders", **options):
        self.detector = Detector(Options(**{"warm_up_ms": 0, **options}))
        self.declared = {domain: declared}
        self.domain = domain
        self.now = EPOCH
        self.said = []

    def one(self, **values):
        """A collection; returns the names of what it said."""
        said = self.detector.take(self.now, {self.domain: values}, self.declared)
        self.said += said
        self.now += self.detector.options.interval
        return [each.name.removeprefix("anomaly.detector.") for each in said]

    def many(self, count, **sources):
        """So many collections of what each source gives; returns the names of what they said."""
        said = []
        for _ in range(count):
            said += self.one(**{name: each() if callable(each) else each for name, each in sources.items()})
        return said

    def learn(self, **sources):
        """Until it is active."""
        said = []
        while self.detector.state == "learning":
            said += self.many(1, **sources)
        return said

    def restart(self):
        """The same in a new process, from what the first one kept."""
        header, states = self.detector.header(), [series.state() for series in self.detector.series()]
        self.detector = Detector(self.detector.options)
        self.detector.restore(header, states)
