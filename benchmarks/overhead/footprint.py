"""What watching costs a quiet process: memory, CPU, time to start and to stop; with and without a key."""

from __future__ import annotations

import statistics

from benchmarks.measure import in_turns, spread

_BODY = """
import json, os, time
import logging, threading, sqlite3, http.server  # what a service has loaded anyway
import psutil
process = psutil.Process()
{server}
before = process.memory_full_info().uss
began = time.perf_counter()
{start}
started = time.perf_counter() - began
{ready}
cpu, clock = process.cpu_times(), time.monotonic()
time.sleep(5)
now = process.cpu_times()
used = (now.user + now.system - cpu.user - cpu.system) / (time.monotonic() - clock)
memory = (process.memory_full_info().uss - before) / 1e6
began = time.perf_counter()
{stop}
print(json.dumps({{"mb": memory, "cpu_pct": used * 100, "start_ms": started * 1e3,
                  "stop_ms": (time.perf_counter() - began) * 1e3}}))
"""

_SERVER = """
from tests.support.messages_api import MessagesAPI, message, tool_use
api = MessagesAPI(message(tool_use("wait", ms=3600000)))
api.__enter__()
"""
_START = 'from beamlens import Beamlens\nlens = Beamlens.start(watchers=["runtime", "logger", "exception"]{more})'
_KEY = (
    ', client_registry={"primary": "m", "clients": [{"name": "m", "provider": "anthropic", '
    '"options": {"api_key": "k", "base_url": api.base_url}}]}'
)
_SETTLED = "while sum(w.runs for w in lens.list_watchers()) < 3: time.sleep(0.05)"


def run(rounds: int) -> None:
    """Measure and print."""
    offline = {"server": "", "start": _START.format(more=""), "ready": _SETTLED, "stop": "lens.stop()"}
    keyed = {
        "server": _SERVER,
        "start": _START.format(more=_KEY),
        "ready": _SETTLED,
        "stop": "lens.stop(); api.__exit__()",
    }
    bare = {"server": "", "start": "", "ready": "time.sleep(0.3)", "stop": ""}
    variants = {
        "nothing": _BODY.format(**bare),
        "no key": _BODY.format(**offline),
        "with a key": _BODY.format(**keyed),
    }
    found = in_turns(variants, rounds)
    print(f"footprint of three watchers in a quiet process, {rounds} processes each:")
    for name, rows in found.items():
        numbers = {key: spread([row[key] for row in rows]) for key in ("mb", "cpu_pct", "start_ms", "stop_ms")}
        print(f"  {name:12} added MB {numbers['mb']}; CPU % {numbers['cpu_pct']}")
        if name != "nothing":
            print(f"  {'':12} start ms {numbers['start_ms']}; stop ms {numbers['stop_ms']}")
    base = statistics.median(row["mb"] for row in found["nothing"])
    print(f"  (a process that starts nothing moves by {base:.2f} MB in the same time)")
