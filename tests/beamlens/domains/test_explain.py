"""Real programs that leak, pile up and burn: is the line named, and is nothing blamed that is innocent?"""

from __future__ import annotations

import importlib.util
import sys
import textwrap
import threading
import time

import pytest

from beamlens.detect import SensorState
from beamlens.domains.runtime import descriptors, gil, memory, threads
from beamlens.evidence import Strength
from beamlens.probes import gc_pauses, heap, stacks
from beamlens_actors import clock
from tests.support import programs


@pytest.fixture
def start(tmp_path):
    """Runs a program's ``work`` in a thread; returns its file and the marked line."""
    started = []

    def run(source):
        name = f"program_{len(started)}_{tmp_path.name.replace('-', '_')}"
        file = tmp_path / f"{name}.py"
        file.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        stop = threading.Event()
        thread = threading.Thread(target=module.work, args=(stop,), name="the-program", daemon=True)
        thread.start()
        started.append((name, module, stop, thread))
        line = next((n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text), None)
        return str(file), line

    yield run
    for name, module, stop, thread in started:
        stop.set()
        thread.join(10)
        if hasattr(module, "close"):
            module.close()
        del sys.modules[name]


def sensor(name, **data):
    return SensorState(name, name, name, "warning", "grows", 0.0, 0.0, data)


@pytest.mark.parametrize("shape", programs.MEMORY)
def test_the_line_that_leaks_memory_is_named(start, shape):
    file, line = start(programs.MEMORY[shape])
    pieces = memory.explain(sensor("memory_growth", rate_per_s=2.0))
    best = pieces[0]
    assert best.cause == "memory_leak", pieces
    assert (best.place.file, best.place.line) == (file, line), best.text


def test_a_bounded_cache_that_is_full_is_not_blamed(start):
    start("""
        import collections
        class Cache:
            def __init__(self):
                self.entries = collections.OrderedDict()
            def put(self, key, value):
                self.entries[key] = value
                while len(self.entries) > 5:
                    self.entries.popitem(last=False)
        CACHE = Cache()
        for number in range(5):
            CACHE.put(number, "x")
        def work(stop):
            number = 5
            while not stop.wait(0.005):
                number += 1
                CACHE.put(number, "x" * 20_000)
    """)
    pieces = memory.explain(sensor("memory_growth", rate_per_s=5.0))
    assert [piece.strength for piece in pieces] == [Strength.EXCLUDES]


def test_a_small_list_that_grows_beside_a_large_growth_is_not_blamed(start):
    start("""
        SMALL = []
        def work(stop):
            while not stop.wait(0.01):
                SMALL.append(1)
    """)
    pieces = memory.explain(sensor("memory_growth", rate_per_s=50.0))
    assert all(piece.strength is Strength.EXCLUDES for piece in pieces)


@pytest.mark.parametrize("shape", programs.DESCRIPTORS)
def test_the_line_that_leaks_descriptors_is_named(start, shape):
    file, line = start(programs.DESCRIPTORS[shape])
    (best, *_rest) = descriptors.explain(sensor("descriptor_growth"))
    assert best.cause == "descriptor_leak"
    assert (best.place.file, best.place.line) == (file, line), best.text
    assert best.strength is Strength.CONCLUSIVE


@pytest.mark.parametrize("shape", programs.THREADS)
def test_the_line_at_which_threads_pile_up_is_named(start, shape):
    file, line = start(programs.THREADS[shape])
    deadline = time.monotonic() + 20
    while sum(1 for one in stacks.look() if one.place and one.place.line == line) < 8:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    (best, *_rest) = threads.explain(sensor("thread_growth", grown=12.0))
    assert (best.place.file, best.place.line) == (file, line), best.text
    assert best.strength is Strength.CONCLUSIVE


def test_descriptors_that_waiting_threads_hold_are_not_blamed_on_who_opens_them(start):
    file, line = start(programs.SOCKETS_HELD_BY_THREADS)
    pieces = descriptors.explain(sensor("descriptor_growth"))
    (best,) = [piece for piece in pieces if piece.strength is Strength.CONCLUSIVE]
    assert (best.cause, best.place.file, best.place.line) == ("thread_pile_up", file, line), pieces


@pytest.mark.parametrize("shape", programs.GIL)
def test_the_line_that_keeps_the_gil_is_named(start, shape):
    file, line = start(programs.GIL[shape])
    (best, *_rest) = gil.explain(sensor("gil_contention"))
    assert (best.place.file, best.place.line) == (file, line), best.text


def test_a_line_that_sleeps_between_bursts_of_work_is_not_blamed_for_them(start):
    file, line = start("""
        import time
        def work(stop):
            while not stop.is_set():
                burst()
                time.sleep(0.02)  # here
        def burst():
            sum(range(300_000))
    """)
    pieces = gil.explain(sensor("gil_stalls"))
    assert [
        piece.text for piece in pieces if piece.place and (piece.place.file, piece.place.line) == (file, line)
    ] == []


def test_an_idle_process_has_no_gil_hog():
    assert [piece.strength for piece in gil.explain(sensor("gil_contention"))] == [Strength.EXCLUDES]


def test_the_walk_goes_in_slices_and_is_bounded():
    walk = heap.Walk(most=2_000)
    assert not walk.complete
    assert len(walk.containers) <= 2_000


def test_a_lazy_object_of_the_host_is_not_woken_by_the_walk(monkeypatch):
    asked = []

    class Lazy:
        """Pretends to be what it is not loaded yet for, as the settings of Django do."""

        def __getattribute__(self, name):
            asked.append(name)
            raise RuntimeError("not configured")

    monkeypatch.setitem(globals(), "lazy", Lazy())
    monkeypatch.setitem(globals(), "more_lazy", [globals()["lazy"]])
    heap.Walk()
    assert asked == []


def test_our_own_objects_are_not_walked():
    mine = heap.Walk()
    for index in mine.nodes:
        holder = mine.holder(index)
        assert holder is None or not holder.module.startswith("beamlens"), holder


@pytest.mark.parametrize(("stall_ms", "causes"), [(180.0, ["long_gc", "gil_hog"]), (400.0, ["gil_hog"])])
def test_stalls_that_are_collections_are_no_threads_fault(stall_ms, causes):
    stalls = SensorState("gil_stalls", "gil_stall_ms", "gil_contention", "warning", "reason", 0.0, stall_ms)
    gc_pauses.pauses.start()
    gc_pauses.pauses.long.append(gc_pauses.Pause(clock.time(), 0.17, 2, 0, 0, 0.17))
    pieces = gil.explain(stalls)
    gc_pauses.pauses.stop()
    assert [piece.cause for piece in pieces] == causes
    assert pieces[-1].strength is Strength.EXCLUDES
    assert not gc_pauses.pauses.installed
