from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest

from beamlens.probes.gc_tap import GcTap


@pytest.fixture
def tap():
    before = list(gc.callbacks)
    gc.disable()
    made = GcTap()
    made.install()
    yield made
    made.uninstall()
    gc.enable()
    assert gc.callbacks == before


class Node:
    def __init__(self):
        self.me = self


def test_each_collection_is_told_with_its_generation_time_and_what_it_freed(tap):
    gc.collect()
    tap.drain()
    for _ in range(10):
        Node()
    gc.collect(0)
    gc.collect(2)
    gc.collect(1)
    found = tap.drain()
    assert [one.generation for one in found] == [0, 2, 1]
    assert found[0].collected >= 10
    assert all(0 < one.seconds < 60 for one in found)
    assert found[0].began_ns < found[1].began_ns < found[2].began_ns
    assert tap.drain() == []


def test_what_the_collecting_thread_waits_for_is_no_work_of_the_collector(tap):
    begin, done, worked = threading.Event(), threading.Event(), []

    def work():
        begin.wait()
        began = time.perf_counter()
        sum(range(3_000_000))
        worked.append(time.perf_counter() - began)
        done.set()

    other = threading.Thread(target=work)
    other.start()

    class Waits(Node):
        def __del__(self):
            begin.set()
            done.wait()

    Waits()
    tap.drain()
    gc.collect()
    other.join()
    (found,) = tap.drain()
    assert found.lasted >= worked[0]
    assert found.lasted - found.seconds > worked[0] / 2


def test_of_too_many_the_latest_are_told(tap):
    small = GcTap(ring=40)
    small.install()
    for _ in range(100):
        gc.collect(0)
    small.uninstall()
    assert 8 <= len(small.drain()) <= 10


def test_a_tap_that_is_installed_while_the_collector_runs_tells_only_whole_collections():
    late = GcTap()

    def install(_phase, _info):
        late.install()

    gc.callbacks.append(install)
    gc.collect(0)
    gc.callbacks.remove(install)
    gc.collect(1)
    found = late.drain()
    late.uninstall()
    assert [one.generation for one in found][-1] == 1
    assert len(found) <= 2


def test_only_its_own_callbacks_are_taken_out_also_when_somebody_else_took_them(tap):
    def foreign(_phase, _info):
        pass

    gc.callbacks.append(foreign)
    other = GcTap()
    other.install()
    other.install()
    other.uninstall()
    other.uninstall()
    assert tap.installed
    assert foreign in gc.callbacks
    gc.callbacks.remove(foreign)
    kept = list(gc.callbacks)
    gc.callbacks.clear()
    assert not tap.installed
    tap.install()
    assert tap.installed
    tap.uninstall()
    assert gc.callbacks == []
    gc.callbacks.extend(one for one in kept if not hasattr(one, "func"))


SENDER = """
import os, select, signal, sys

lost = 0
os.read(0, 1)
for _ in range(30):
    os.kill(int(sys.argv[1]), signal.SIGUSR1)
    if select.select([0], [], [], 3)[0]:
        os.read(0, 1)
    else:
        lost += 1
print(lost)
"""

PROGRAM = """
import gc, os, signal, subprocess, sys
from beamlens.probes.gc_tap import GcTap

class Interrupted(Exception):
    pass

def handler(*_):
    raise Interrupted

HEAP = [[number] for number in range(200_000)]
tap = GcTap()
tap.install()
signal.signal(signal.SIGUSR1, handler)
# A process of its own: a thread could send only while the collector does not hold the GIL.
sender = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
caught = True  # the first byte begins it
while sender.poll() is None:
    try:
        if caught:
            caught = False
            os.write(sender.stdin.fileno(), b"x")
        for _ in range(20):
            gc.collect()
    except Interrupted:
        caught = True
print(int(sender.stdout.read()), "lost;", "recorded" if tap.drain() else "nothing recorded")
"""


def test_a_signal_that_arrives_during_a_collection_reaches_the_program():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, SENDER], capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.stdout, done.stderr) == ("0 lost; recorded\n", "")
