"""What one look of each domain's sensors and one snapshot cost, in a process with threads, queues and a heap."""

from __future__ import annotations

from benchmarks.measure import in_turns, spread

_BODY = """
import json, queue, statistics, threading, time
from concurrent.futures import ThreadPoolExecutor
from beamlens.domains import built_in
heap = [{{"number": number, "name": str(number)}} for number in range(200_000)]
pool = ThreadPoolExecutor(20)
over = threading.Event()
for _ in range(100):
    pool.submit(over.wait)
domain = built_in("{name}")()
def timed(what):
    found = []
    for _ in range(12):
        began = time.perf_counter()
        what()
        found.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.6)
    return found
domain.sense(), domain.snapshot()
sense, snapshot = timed(domain.sense), timed(domain.snapshot)
print(json.dumps({{"sense": statistics.median(sense), "snapshot": statistics.median(snapshot), "worst": max(sense)}}))
over.set()
pool.shutdown()
domain.close()
"""
_NAMES = ("allocator", "http_client", "overload", "runtime", "sup", "tracer")


def run(rounds: int) -> None:
    """Measure and print; `runtime` stands beside the others to compare with."""
    found = in_turns({name: _BODY.format(name=name) for name in _NAMES}, rounds)
    print(f"one look of the sensors and one snapshot, 20 threads and 200 000 objects, {rounds} processes each; ms:")
    for name, rows in found.items():
        sense, snapshot, worst = (spread([row[key] for row in rows]) for key in ("sense", "snapshot", "worst"))
        print(f"  {name:12} sense {sense}; worst {worst}; snapshot {snapshot}")
