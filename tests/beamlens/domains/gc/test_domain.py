from __future__ import annotations

import gc
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.detect import SensorBank, SensorState
from beamlens.domains import GcDomain
from beamlens.domains.gc.pauses import Pauses, percentile
from beamlens.domains.gc.recorder import GcRecorder
from beamlens.domains.gc.store import GcStore
from beamlens.evidence import Strength
from beamlens.probes import census
from beamlens.probes.gc_pauses import pauses
from beamlens.probes.gc_tap import Collection
from beamlens.testing import check_domain
from beamlens_actors import clock
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor


@pytest.fixture
def domain():
    before = list(gc.callbacks)
    made = GcDomain()
    supervisor = Supervisor.start(made.children(), max_restarts=100, max_seconds=1)
    yield made
    supervisor.stop()
    made.close()
    assert gc.callbacks == before


def sensor(name, metric, **data):
    return SensorState(name, metric, name, "warning", "grows", 0.0, 0.0, data)


class Node:
    def __init__(self):
        self.me = self


def test_it_keeps_its_contract(domain):
    check_domain(domain)


def test_without_a_store_nothing_is_installed_and_pauses_are_none_with_the_reason():
    before = list(gc.callbacks)
    domain = GcDomain()
    snapshot = domain.snapshot()
    assert gc.callbacks == before
    assert (snapshot["gc_time_pct"], snapshot["max_pause_ms"]) == (None, None)
    assert snapshot["_unavailable"]["gc_time_pct"] == "no GcStore runs: pauses are not timed"
    assert "not their bytes" in snapshot["_unavailable"]["bytes_reclaimed_mb"]
    assert snapshot["total_gcs"] > 0
    assert domain.find_lazy_gc_processes()["error"] == "unavailable"


def test_callbacks_that_somebody_took_out_are_told():
    domain = GcDomain()
    domain.recorder.install()
    kept = [one for one in gc.callbacks if one not in pauses._tap._installed]
    gc.callbacks[:] = kept
    snapshot = domain.snapshot()
    domain.close()
    assert "somebody took the callbacks out" in snapshot["_unavailable"]["gc_time_pct"]


def test_the_callbacks_outlive_a_store_that_is_killed_and_are_gone_when_the_domain_is_closed():
    before = list(gc.callbacks)
    domain = GcDomain()
    supervisor = Supervisor.start(domain.children(), max_restarts=100, max_seconds=1)
    installed = len(gc.callbacks)
    store = supervisor.child("GcStore")
    store.kill()
    store.join(20)
    assert len(gc.callbacks) == installed == len(before) + 2
    supervisor.stop()
    domain.close()
    assert gc.callbacks == before


def test_collections_are_counted_and_timed(domain):
    domain.recorder.read()
    for _ in range(20):
        Node()
    gc.collect()
    domain.recorder.read()
    full = domain.stats()["generations"][2]
    assert full["timed"] >= 1
    assert full["max_ms"] >= full["p50_ms"] > 0
    assert domain.calculate_efficiency(2)["objects_freed"] >= 20
    assert domain.find_lazy_gc_processes(0, 0)["generations"][2]["has_run"]
    assert domain.find_lazy_gc_processes(10**9, 0)["generations"] == []


@pytest.mark.parametrize("generation", [-1, 3, 10**9])
def test_an_unknown_generation_is_answered_with_the_choices(domain, generation):
    assert domain.calculate_efficiency(generation) == {
        "error": "unknown_generation",
        "message": f"generation={generation}; the choices are: 0, 1, 2",
    }


class Draining(GcRecorder):
    """A recorder whose tap holds what a test says."""

    def __init__(self, *found):
        super().__init__()
        self.found, self.at = iter(found), []

    def drain(self):
        self.at.append(clock.monotonic())
        return next(self.found)


def test_the_ring_is_emptied_the_oftener_the_busier_the_collector_is():
    with FakeClock() as fake:
        recorder = Draining(0, 0, 25, 400, 400, 25, 0, 0)
        store = GcStore.start(recorder)
        began = clock.monotonic()
        for _ in range(80):
            fake.advance(0.1)
            store.ask("has it done what was due?", timeout=20)
        store.stop()
    assert [round(at - began, 1) for at in recorder.at] == [0.5, 2.5, 4.5, 5.0, 5.1, 5.2, 5.7, 7.7]


def test_types_are_sorted_capped_and_their_growth_is_told(domain):
    # More types than are shown: what the tests' process froze before does not count.
    kept = [type(f"Type{number}", (Node,), {})() for number in range(60)] + [Node() for _ in range(100)]
    assert domain.top_types(5, "memory")["error"] == "bad_argument"
    first = domain.top_types(1000)
    assert len(first["types"]) == 50
    counts = [row["objects"] for row in first["types"]]
    assert counts == sorted(counts, reverse=True)
    assert first["seconds_since_last"] is None
    kept += [Node() for _ in range(20_000)]
    grown = domain.top_types(50, "growth")
    rows = {row["type"]: row for row in grown["types"]}
    if grown["exact"]:
        assert rows[f"{__name__}.Node"]["growth"] == 20_000
    assert domain.top_processes(3)["note"].startswith("CPython has one heap")
    del kept


@pytest.fixture
def held_5000(monkeypatch):
    """A program that holds 5000 objects of a class of its own; the class's name."""
    module = types.ModuleType("a_program")
    module.__file__ = "/app/a_program.py"
    monkeypatch.setitem(sys.modules, "a_program", module)
    cls = type("Held", (), {"__module__": "a_program"})
    module.held = [cls() for _ in range(5000)]
    return "a_program.Held"


def test_a_heap_of_ordinary_size_is_counted_exactly_and_a_large_one_estimated(monkeypatch, held_5000):
    monkeypatch.setattr(census, "_MOST_BLOCKS", 10**9)
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 0)  # the tests' own process has frozen what it began with
    exact = census.take()
    monkeypatch.setattr(census, "_MOST_BLOCKS", 0)
    estimated = census.take()
    assert (exact.exact, estimated.exact) == (True, False)
    assert exact.of(held_5000) == 5000
    assert round(estimated.of(held_5000)) == 5000


def test_what_the_program_has_frozen_is_counted_too(monkeypatch, held_5000):
    monkeypatch.setattr(census, "_MOST_BLOCKS", 10**9)
    gc.freeze()
    found = census.take()
    assert (round(found.of(held_5000)), found.exact) == (5000, False)


def test_the_youngest_objects_are_told_by_type(domain):
    gc.collect()
    gc.disable()
    try:
        kept = [Node() for _ in range(5000)]
        found = domain.find_spiky_processes(0, 3)
    finally:
        gc.enable()
    row = next(row for row in found["types"] if row["type"] == f"{__name__}.Node")
    assert row["objects"] >= 5000
    assert domain.find_spiky_processes(10_000)["types"] == []
    del kept


def test_what_cannot_be_freed_is_told_with_its_types(domain):
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(300):
            Node()
        gc.collect()
    finally:
        gc.set_debug(0)
    try:
        assert domain.snapshot()["uncollectable"] >= 300
        (piece,) = domain.evidence(sensor("uncollectable_growth", "uncollectable"))
        assert f"{__name__}.Node" in piece.text
        assert piece.strength == Strength.SUPPORTING
    finally:
        gc.garbage.clear()


def test_memory_is_watched_only_while_the_collector_is_disabled(domain):
    assert domain.sense()["rss_while_disabled_mb"] is None
    gc.disable()
    try:
        assert domain.sense()["rss_while_disabled_mb"] > 1
        assert domain.snapshot()["enabled"] == 0
    finally:
        gc.enable()


def test_changed_thresholds_are_told(domain):
    before = gc.get_threshold()
    gc.set_threshold(before[0] + 1, *before[1:])
    domain.recorder.read()
    gc.set_threshold(*before)
    domain.recorder._read_at -= 1
    domain.recorder.read()
    assert domain.stats()["threshold_changes"][:1] == [f"{before} -> {(before[0] + 1, *before[1:])}"]


def take(pauses, at, *collections, runs=None, span=1.0, cpu=0.5):
    counted = tuple(sum(one.generation == g for one in collections) for g in range(3))
    freed = sum(one.collected for one in collections)
    pauses.take(collections, runs or counted, freed, now=at, wall=at, span=span, cpu=cpu)


def run_of(generation, seconds, collected=0):
    return Collection(generation, 0, seconds, collected, 0, seconds)


def test_collections_that_were_not_timed_count_with_the_mean_of_those_that_were():
    pauses = Pauses()
    take(pauses, 1.0, run_of(0, 0.01), run_of(0, 0.03), runs=(10, 0, 0))
    assert pauses.share_pct(1.0, 10.0) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("cpu", "lasted", "share"),
    [
        (0.25, 0.04, 4.0),  # not starved
        (8.0, 0.04, 4.0),  # not starved, on eight processors
        (0.25, 0.4, 16.0),  # starved: a sixth of its work at most
        (0.1, 0.4, 40.0),  # starved, and does little else
    ],
)
def test_the_share_of_time_is_that_of_a_process_which_is_not_starved(cpu, lasted, share):
    pauses = Pauses()
    take(pauses, 1.0, Collection(2, 0, 0.04, 0, 0, lasted), cpu=cpu)
    assert pauses.share_pct(1.0, 10.0) == pytest.approx(share)


def test_the_length_of_a_pause_is_its_work():
    pauses = Pauses()
    take(pauses, 1.0, Collection(2, 0, 0.06, 0, 0, 0.3))
    assert [pause.ms for pause in pauses.of(2, 1.0)] == [60.0]
    assert pauses.long(1.0, 60.0) == []


def test_only_pauses_of_the_window_count():
    pauses = Pauses()
    take(pauses, 1.0, run_of(2, 0.2))
    take(pauses, 70.0, run_of(2, 0.3), run_of(2, 0.05))
    assert [pause.ms for pause in pauses.long(70.0, 60.0)] == [300.0]
    assert [pause.ms for pause in pauses.of(2, 70.0)] == [200.0, 300.0, 50.0]
    assert pauses.share_pct(500.0, 10.0) is None


def test_a_gc_that_takes_a_third_of_the_time_wakes_and_one_full_collection_does_not(domain):
    bank = SensorBank(domain.all_sensors())
    for second in range(30):
        assert bank.feed(float(second), {"gc_time_pct": 3.0, "long_pauses_pct": 0.3}) == []
    woke = [s.name for second in range(30, 45) for s in bank.feed(float(second), {"gc_time_pct": 33.0})]
    assert woke == ["gc_time"]


@pytest.mark.parametrize(("pauses", "woke"), [(8, []), (20, ["gc_long_pauses"])])
def test_long_pauses_wake_by_the_time_that_they_take_not_by_their_number(domain, pauses, woke):
    bank = SensorBank(domain.all_sensors())
    with FakeClock() as clock:
        domain.recorder.install()
        for _ in range(pauses):
            take(domain.recorder.pauses, clock.monotonic(), run_of(2, 0.16))
        values = {**domain.sense(), "gc_time_pct": 8.0}
    assert values["long_pauses_1m"] == pauses
    assert [state.name for second in range(10) for state in bank.feed(float(second), values)] == woke


def test_freezing_is_recommended_with_numbers_when_full_collections_free_nothing():
    with FakeClock() as clock:
        domain = GcDomain()
        domain.recorder.since = 0.0
        for second in range(10):
            take(domain.recorder.pauses, clock.monotonic() - second, run_of(2, 0.15))
        found = domain.recommend_hibernation()
    (row,) = found["recommendations"]
    assert (row["action"], row["mean_ms"], row["freed_each"]) == ("gc.freeze", 150.0, 0.0)
    assert GcDomain().recommend_hibernation()["recommendations"] == []


@given(st.lists(st.floats(0, 1e6), max_size=50), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_between_the_extremes(values, share):
    found = percentile(values, share)
    assert found is None if not values else min(values) <= found <= max(values) and found in values


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 5)), max_size=20), st.floats(0.1, 5)), max_size=30
    )
)
def test_the_share_of_time_stays_within_bounds_whatever_comes(readings):
    pauses, at = Pauses(), 0.0
    for collections, span in readings:
        at += span
        take(pauses, at, *(run_of(generation, seconds) for generation, seconds in collections), span=span)
        share = pauses.share_pct(at, 10.0)
        assert share is None or 0 <= share <= 100
    assert len(pauses.notable) <= 200
