"""What it costs to look at many descriptors, and how long another thread is kept waiting: beside psutil."""

from __future__ import annotations

import statistics

from benchmarks.measure import in_turns, spread

_PROGRAM = """
import json, os, resource, threading, time
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
count = min({count}, hard - 200)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
{setup}
{look}

class Busy(threading.Thread):
    # Runs Python all the time; the longest pause between two steps is what it was kept waiting.
    longest, over = 0.0, False
    def run(self):
        before = time.perf_counter()
        while not self.over:
            now = time.perf_counter()
            self.longest = max(self.longest, now - before)
            before = now

def timed():
    began = time.perf_counter()
    look()
    return (time.perf_counter() - began) * 1e3

timed()
alone = sorted(timed() for _ in range(5))[2]
busy = Busy(daemon=True)
busy.start()
beside = timed()
busy.over = True
busy.join()
print(json.dumps({{"count": count, "alone": alone, "beside": beside, "stall": busy.longest * 1e3}}), flush=True)
os._exit(0)
"""

_NOTHING = ("", "def look(): time.sleep(0.05)")
_SENSE = ("from beamlens.domains.ports import PortsDomain\ndomain = PortsDomain()", "def look(): domain.sense()")
_TABLE = ("from beamlens.domains.ports import table", "def look(): table.read(30.0)")
_PSUTIL = (
    "import psutil\nprocess = psutil.Process()",
    "def look():\n    process.open_files()\n    process.net_connections()",
)


def run(rounds: int) -> None:
    """Measure and print."""
    for count in (100, 5_000):
        sides = {"nothing": _NOTHING, "ports.sense": _SENSE, "ports, whole table": _TABLE, "psutil": _PSUTIL}
        variants = {name: _PROGRAM.format(count=count, setup=setup, look=look) for name, (setup, look) in sides.items()}
        found = in_turns(variants, rounds)
        print(f"a look at {found['nothing'][0]['count']} descriptors, {rounds} processes a side; ms:")
        base = statistics.median(row["beside"] for row in found["psutil"])
        for name, rows in found.items():
            told = {key: spread([row[key] for row in rows]) for key in ("alone", "beside", "stall")}
            share = statistics.median(row["beside"] for row in rows) / base
            print(f"  {name:20} alone {told['alone']}; beside a busy thread {told['beside']} (x{share:.3f} of psutil)")
            print(f"  {'':20} longest wait of that thread {told['stall']}")
