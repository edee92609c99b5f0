"""How long something keeps another thread waiting: a thread that wants to run each millisecond notes how late it is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from benchmarks.measure import in_turns, spread

_BODY = """
import json, threading, time
{setup}

late, stop = [], threading.Event()

def tick():
    before = time.perf_counter()
    while not stop.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        late.append(now - before - 0.001)
        before = now

thread = threading.Thread(target=tick)
thread.start()
time.sleep(0.2)
late.clear()
began = time.perf_counter()
{work}
seconds = time.perf_counter() - began
time.sleep(0.05)
stop.set()
thread.join()
print(json.dumps({{"ms": max(late) * 1e3, "seconds": seconds, "late": sum(one > 0.01 for one in late)}}), flush=True)
{end}
"""


def program(setup: str, work: str, end: str = "") -> str:
    """A program that does `work` once, after `setup`, beside the thread that ticks."""
    return _BODY.format(setup=setup, work=work, end=end)


def compare(title: str, programs: Mapping[str, str], rounds: int) -> None:
    """Run programs in turns, and print the worst wait that each caused."""
    found = in_turns(dict(programs), rounds)
    print(f"worst wait of another thread, ms, {title}, {rounds} processes each (goal: at most 10):")
    for name, rows in found.items():
        waits = spread([row["ms"] for row in rows])
        took = statistics.median(row["seconds"] for row in rows)
        late = sum(row["late"] for row in rows)
        print(f"  {name:38} {waits:28} over 10 ms: {late}; it took {took:.2f} s")
