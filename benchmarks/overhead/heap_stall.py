"""How long the heap scans keep another thread waiting, in a process with a million objects: the worst of its ticks."""

from __future__ import annotations

import statistics

from benchmarks.measure import in_turns, spread

_OBJECTS = 1_000_000
_COUNTED = 100_000

_BODY = """
import gc, json, sys, threading, time

class Entry:
    __slots__ = ("number", "next")
    def __init__(self, number, before):
        self.number, self.next = number, before

TABLE = {{}}
for number in range({objects} // 2):
    TABLE.setdefault(number // 400, {{}})[number] = [Entry(number, None)]
gc.collect()
{setup}

worst, stop = [], threading.Event()

def tick():
    before = time.perf_counter()
    while not stop.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        worst.append(now - before - 0.001)
        before = now

thread = threading.Thread(target=tick)
thread.start()
time.sleep(0.2)
worst.clear()
began = time.perf_counter()
{scan}
seconds = time.perf_counter() - began
time.sleep(0.05)
stop.set()
thread.join()
print(json.dumps({{"ms": max(worst) * 1e3, "seconds": seconds, "late": sum(one > 0.01 for one in worst)}}))
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
    variants = {
        name: _BODY.format(objects=_COUNTED if "all counted" in name else _OBJECTS, setup=setup, scan=scan)
        for name, (setup, scan) in _SCANS.items()
    }
    found = in_turns(variants, rounds)
    print(f"worst wait of another thread, ms, {_OBJECTS:,} objects, {rounds} processes each (goal: at most 10):")
    for name, rows in found.items():
        waits = spread([row["ms"] for row in rows])
        took = statistics.median(row["seconds"] for row in rows)
        late = sum(row["late"] for row in rows)
        print(f"  {name:38} {waits:28} over 10 ms: {late}; the scan took {took:.2f} s")
