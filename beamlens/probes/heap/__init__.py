"""Walks what the user's code can reach: which containers there are, who holds them, which of them grow."""

from beamlens.probes.heap.growing import Growing, find_growing
from beamlens.probes.heap.holders import Holder
from beamlens.probes.heap.kinds import KindWalk
from beamlens.probes.heap.paths import Path
from beamlens.probes.heap.walk import Walk

__all__ = ["Growing", "Holder", "KindWalk", "Path", "Walk", "find_growing"]
