"""What a call costs: bare, while another function is traced, while it is traced itself. Needs CPython 3.12."""

from __future__ import annotations

import sys

from benchmarks.overhead.hot_path import HotPath, Side

_START = """
import sys, types
from beamlens.domains import TracerDomain
tracer = TracerDomain()
sys.modules["shop"] = sys.modules["__main__"]
def other():
    pass
"""

_MEASURE = HotPath(
    title="call of a function that does nothing",
    operation="""
def work(number):
    return number

begin()

def once(number):
    work(number)
""",
    sides={
        "bare": Side("begin = lambda: None"),
        "another traced": Side(_START + 'begin = lambda: tracer.start("shop", "other")["started"]', "tracer.stop()"),
        "itself traced": Side(_START + 'begin = lambda: tracer.start("shop", "work")["started"]', "tracer.stop()"),
        "setprofile": Side("def profile(*a): pass\nbegin = lambda: sys.setprofile(profile)\nimport sys"),
    },
    count=200_000,
)


def run(rounds: int) -> None:
    """Measure and print."""
    if not hasattr(sys, "monitoring"):
        print("call of a traced function: sys.monitoring needs CPython 3.12; run this with a newer one")
        return
    _MEASURE.run(rounds)
