"""What a log call costs the host: bare, with Beamlens watching, with sentry-sdk."""

from __future__ import annotations

import importlib.util
import statistics

from benchmarks.measure import in_turns, spread

_LOOP = """
import json, logging, statistics, time
{setup}
log = logging.getLogger("host.orders")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = {propagate}

def once(count=20_000):
    began = time.perf_counter_ns()
    for number in range(count):
        log.info("user %s did %s in %d ms", "bob", "login", number)
    return (time.perf_counter_ns() - began) / count

once()
print(json.dumps({{"ns": statistics.median(once() for _ in range(5))}}))
{end}
"""

_WATCHERS = '["runtime", "logger", "exception"]'
_BARE = {"setup": "", "propagate": False, "end": ""}
_BEAMLENS = {
    "setup": f"from beamlens import Beamlens\nlens = Beamlens.start(watchers={_WATCHERS})",
    "propagate": False,
    "end": "lens.stop()",
}
_SENTRY = {
    "setup": "import sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1')",
    # Sentry wraps the same method, so it sees records of loggers that do not propagate too.
    "propagate": False,
    "end": "import os, sys; sys.stdout.flush(); os._exit(0)",
}


def run(rounds: int) -> None:
    """Measure and print."""
    variants = {"bare": _LOOP.format(**_BARE), "beamlens": _LOOP.format(**_BEAMLENS)}
    if importlib.util.find_spec("sentry_sdk") is None:
        print("log call: sentry-sdk is not installed, so it is left out (pip install -e '.[bench]')")
    else:
        variants["sentry-sdk"] = _LOOP.format(**_SENTRY)
    found = {name: [row["ns"] / 1000 for row in rows] for name, rows in in_turns(variants, rounds).items()}
    bare = statistics.median(found["bare"])
    print(f"log call, one logger with a NullHandler, formatted arguments; us a call, {rounds} processes each:")
    for name, values in found.items():
        added = statistics.median(values) - bare
        print(f"  {name:12} {spread(values):28} x{statistics.median(values) / bare:.2f}  added {added:+.2f} us")
