"""How long the heap scans keep another thread waiting, in a process with a million objects: the worst of its ticks."""

from __future__ import annotations

from benchmarks.overhead.stall import compare, program

_OBJECTS = 1_000_000
_COUNTED = 100_000

_HEAP = """
import gc, sys

class Entry:
    __slots__ = ("number", "next")
    def __init__(self, number, before):
        self.number, self.next = number, before

TABLE = {{}}
for number in range({objects} // 2):
    TABLE.setdefault(number // 400, {{}})[number] = [Entry(number, None)]
gc.collect()
"""

_SCANS = {
    "no scan": ("", "time.sleep(1)"),
    "survey of tables (ets)": ("from beamlens.domains.ets.survey import survey", "survey()"),
    "census of types (gc)": ("from beamlens.probes import census", "census.take()"),
    "census, all counted (100,000 objects)": ("from beamlens.probes import census", "census.take()"),
    "youngest types (gc)": ("from beamlens.probes import census", "census.young()"),
    "walk over the heap": ("from beamlens.probes.heap import Walk", "Walk().release()"),
    "gc.get_objects()": ("", "objects = gc.get_objects(); del objects"),
    "Counter(map(type, gc.get_objects()))": (
        "from collections import Counter",
        "Counter(map(type, gc.get_objects()))",
    ),
    "gc.collect()": ("", "gc.collect()"),
}


def run(rounds: int) -> None:
    """Measure and print."""
    programs = {}
    for name, (setup, scan) in _SCANS.items():
        objects = _COUNTED if "all counted" in name else _OBJECTS
        programs[name] = program(_HEAP.format(objects=objects) + setup, scan)
    compare(f"{_OBJECTS:,} objects", programs, rounds)
