"""What a look at the runtime costs: snapshot and sensors of `runtime` and `vm_events`, on a process with some load."""

from __future__ import annotations

from benchmarks.measure import in_turns, spread

_BODY = """
import asyncio, json, threading, time
from concurrent.futures import ThreadPoolExecutor
from beamlens.domains import RuntimeDomain, VmEventsDomain

async def wait(): await asyncio.Event().wait()
async def serve():
    tasks = [asyncio.create_task(wait()) for _ in range({tasks})]
    await asyncio.gather(*tasks)

threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
pool, event = ThreadPoolExecutor(8), threading.Event()
for _ in range(50):
    pool.submit(event.wait)
runtime, events = RuntimeDomain(), VmEventsDomain()
runtime.sense()
events.recorder.install()
time.sleep(2)

def each(function, count=50):
    spent = 0.0
    for _ in range(count):
        time.sleep(0.01)
        began = time.thread_time()
        function()
        spent += time.thread_time() - began
    return spent / count * 1e3

found = {{"runtime.snapshot": each(runtime.snapshot), "runtime.sense": each(runtime.sense),
         "vm_events.snapshot": each(events.snapshot), "vm_events.sense": each(events.sense),
         "runtime_get_tasks": each(runtime.callbacks()["runtime_get_tasks"], 5)}}
events.close(); runtime.close(); event.set()
print(json.dumps(found), flush=True)
import os
os._exit(0)
"""


def run(rounds: int) -> None:
    """Measure and print; the goal is 5 ms for the snapshots of all domains together."""
    variants = {f"{tasks} tasks": _BODY.format(tasks=tasks) for tasks in (10, 10_000)}
    print(f"looking at the runtime, ms of CPU each, {rounds} processes (goal: snapshots of all domains under 5 ms):")
    for name, rows in in_turns(variants, rounds).items():
        for what in rows[0]:
            print(f"  {name:12} {what:20} {spread([row[what] for row in rows])}")
