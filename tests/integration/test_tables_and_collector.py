"""Programs that misbehave in their tables or their collector, watched without a key: is the cause named?"""

from __future__ import annotations

import gc
import importlib.util
import sys
import textwrap
import threading

import blinker
import pytest

from beamlens import Beamlens

LEAK = """
    import functools
    @functools.lru_cache(maxsize=None)  # here
    def page(number):
        return "x" * 150_000 + str(number)
    def work(stop):
        number = 0
        while not stop.wait(0.04):
            number += 1
            page(number)
"""
REGISTRY = """
    class Registry:
        def __init__(self):
            self.entries = {}
        def put(self, number):
            self.entries[number] = "x" * 150_000 + str(number)  # here
    REGISTRY = Registry()
    def work(stop):
        number = 0
        while not stop.wait(0.04):
            number += 1
            REGISTRY.put(number)
"""
CYCLES = """
    class Node:
        def __init__(self):
            self.me = self
            self.children = []
    def work(stop):
        while not stop.is_set():
            for _ in range(5000):
                Node()  # here
"""
HEALTHY = """
    import functools
    @functools.lru_cache(maxsize=200)
    def page(number):
        return "x" * 100_000 + str(number)
    RECENT = {}
    def work(stop):
        number = 0
        while not stop.wait(0.002):
            number += 1
            page(number % 190)
            RECENT[number] = [number]
            if len(RECENT) > 1000:
                RECENT.clear()
"""


@pytest.fixture
def start(tmp_path):
    """Runs a program's ``work`` in a thread; returns its file and the marked line."""
    stop, threads = threading.Event(), []

    def run(source):
        name = f"program_{tmp_path.name.replace('-', '_')}"
        file = tmp_path / f"{name}.py"
        file.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, file)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        thread = threading.Thread(target=module.work, args=(stop,), name="the-program")
        thread.start()
        threads.append((name, thread))
        return str(file), next((n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text), None)

    yield run
    stop.set()
    for name, thread in threads:
        thread.join(10)
        del sys.modules[name]


@pytest.fixture
def insights():
    found, came = [], threading.Event()

    def on_insight(_sender, *, insight, **_metadata):
        found.append(insight)
        came.set()

    signal = blinker.signal("beamlens.coordinator.insight_produced")
    signal.connect(on_insight)
    yield found, came
    signal.disconnect(on_insight)


@pytest.mark.parametrize(
    ("source", "watchers", "cause"),
    [
        (LEAK, ["ets"], "Memory leak"),
        (REGISTRY, ["ets", "runtime"], "Memory leak"),
        (CYCLES, ["gc"], "Pressure on the garbage collector"),
    ],
    ids=["an unbounded lru_cache", "a dict of an object, the runtime watched too", "cyclic garbage"],
)
def test_the_cause_is_named_with_its_line(start, insights, source, watchers, cause):
    before = list(gc.callbacks)
    found, came = insights
    with Beamlens.start(watchers=watchers):
        file, line = start(source)
        assert came.wait(90)
        insight = found[0]
    assert insight.root_cause_hypothesis.startswith(f"{cause} at ")
    assert f"{file.rpartition('/')[2]}:{line}" in insight.root_cause_hypothesis
    assert insight.confidence == "high"
    assert gc.callbacks == before


def test_a_healthy_busy_program_with_a_bounded_cache_that_fills_stays_without_an_alert(start, insights):
    found, came = insights
    with Beamlens.start(watchers=["ets", "gc", "runtime"]) as lens:
        start(HEALTHY)
        assert not came.wait(25)
        assert found == []
        assert [(one.name, one.alerts) for one in lens.list_watchers()] == [("ets", 0), ("gc", 0), ("runtime", 0)]
