"""What the stack sampler costs a quiet process: CPU with it and without, beside few and many parked threads."""

from __future__ import annotations

from benchmarks.measure import in_turns, spread

_BODY = """
import json, threading, time
from beamlens.probes.gil import ticker
from beamlens.probes.loops import loops
from beamlens.probes.sampler import sampler
event = threading.Event()
for _ in range({threads}):
    threading.Thread(target=event.wait, daemon=True).start()
{start}
time.sleep(1)
cpu, began = time.process_time(), time.monotonic()
time.sleep(5)
used = (time.process_time() - cpu) / (time.monotonic() - began)
looks = [window.looks / window.seconds for window in sampler.profile.windows]
print(json.dumps({{"cpu_pct": used * 100, "looks": looks[-1] if looks else 0.0}}))
"""
_STARTS = {"nothing": "pass", "GIL ticker": "ticker.start()", "sampler": "loops.start()"}
_THREADS = (3, 100)


def run(rounds: int) -> None:
    """Measure and print; the goal is 0.5 % of a core for all that watches a quiet process."""
    print(f"idle CPU of the stack sampler, % of a core, {rounds} processes each (goal for the whole process: 0.5 %):")
    for threads in _THREADS:
        variants = {name: _BODY.format(threads=threads, start=start) for name, start in _STARTS.items()}
        for name, rows in in_turns(variants, rounds).items():
            looks = f"; looks a second {spread([row['looks'] for row in rows])}" if name == "sampler" else ""
            print(f"  {threads:3} parked threads, {name:10} {spread([row['cpu_pct'] for row in rows])}{looks}")
