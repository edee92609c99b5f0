from __future__ import annotations

import functools
import gc
import sys
import threading
import types
import weakref
from collections import deque

import cachetools
import pytest

from beamlens.detect import SensorBank, SensorState
from beamlens.domains import EtsDomain
from beamlens.domains.ets import store as store_module
from beamlens.domains.ets.growth import Sample
from beamlens.domains.ets.hit_rate import Collapse, HitRate
from beamlens.domains.ets.tables import Numbers, numbers_of
from beamlens.evidence import CauseKind, Strength
from beamlens.probes.tables import register_table, unregister_table
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor


@pytest.fixture
def program():
    """A module of the user's."""
    module = types.ModuleType("the_program")
    module.__file__ = "/app/the_program.py"
    sys.modules["the_program"] = module
    yield module
    del sys.modules["the_program"]


@pytest.fixture
def domain():
    return EtsDomain()


def rows(domain):
    return {row["name"]: row for row in domain.top_tables(50, "size")}


def test_it_keeps_its_contract(domain):
    check_domain(domain)


def test_before_the_first_survey_each_metric_is_none_with_the_reason(domain):
    snapshot = domain.snapshot()
    assert snapshot["table_count"] is None
    assert "ets_list_tables() makes one" in snapshot["_unavailable"]["table_count"]
    assert set(domain.sense().values()) == {None}


def test_every_sensor_reads_something_that_is_sensed(domain):
    domain.list_tables()
    assert {sensor.metric for sensor in domain.all_sensors()} <= set(domain.sense())


def test_caches_and_containers_are_found_with_size_bound_and_hit_rate(program, domain):
    program.prices = functools.lru_cache(maxsize=None)(lambda number: "x" * number)
    program.recent = functools.lru_cache(maxsize=10)(lambda number: number)
    program.pages = cachetools.LRUCache(60_000)
    program.lookup = cachetools.cached(cachetools.LRUCache(50_000), info=True)(lambda number: number)
    program.entries = {number: str(number) for number in range(40_000)}
    program.waiting = deque(range(30_000), maxlen=30_000)
    for number in range(20_000):
        program.prices(number % 1000)
        program.recent(number % 4)
        program.pages[number] = number
        program.lookup(number)
        program.lookup(number)
    domain.list_tables()
    found = {name: domain.table_info(f"the_program.{name}") for name in ("prices", "recent", "pages", "entries")}
    found["lookup"] = domain.table_info("the_program.lookup.cache")
    found["waiting"] = domain.table_info("the_program.waiting")
    assert {name: (row["kind"], row["size"], row["maxsize"]) for name, row in found.items()} == {
        "prices": ("cache", 1000, None),
        "recent": ("cache", 4, 10),
        "pages": ("cache", 20_000, 60_000),
        "entries": ("container", 40_000, None),
        "lookup": ("cache", 20_000, 50_000),
        "waiting": ("container", 30_000, 30_000),
    }
    assert found["prices"]["hit_rate_pct"] == 95.0
    assert found["lookup"]["hit_rate_pct"] == 50.0
    assert found["entries"]["hit_rate_pct"] is None
    assert found["prices"]["memory_kb"] == pytest.approx(1000 * (500 + 49 + 150) / 1024, rel=0.6)
    assert found["prices"]["owner"].startswith("cache of ")


def test_a_registered_table_has_its_name_and_is_told_once(program, domain):
    program.sessions = {number: number for number in range(5000)}
    register_table("sessions", program.sessions)
    try:
        found = rows(domain)
        assert found["sessions"]["kind"] == "registered"
        assert "the_program.sessions" not in found
        assert domain.snapshot()["registered_count"] == 1
        program.sessions = {1: 1}
        assert domain.table_info("sessions")["size"] == 1
        del program.sessions
        assert domain.table_info("sessions")["error"] == "table_not_found"
    finally:
        unregister_table("sessions")


def test_a_domain_keeps_no_table_alive(program, domain):
    class Held(dict):
        pass

    gone = threading.Event()
    program.table = Held({number: number for number in range(500)})
    weakref.finalize(program.table, gone.set)
    domain.recorder.sample()
    domain.sense()
    assert domain.table_info("the_program.table")["size"] == 500
    del program.table
    gc.collect()
    assert gone.is_set()
    assert domain.table_info("the_program.table")["error"] == "table_not_found"


@pytest.mark.parametrize("name", ["", "nope", "x" * 10_000, "the_program"])
def test_an_unknown_table_is_answered_with_some_that_exist(domain, name):
    answer = domain.table_info(name)
    assert answer["error"] == "table_not_found"
    assert "among the tables are: " in answer["message"]
    assert len(answer["message"]) < 1500


def test_tables_are_sorted_capped_and_an_unknown_key_is_answered_with_the_choices(domain):
    assert domain.top_tables(5, "speed")["message"] == "sort_by='speed'; the choices are: memory, size, growth"
    assert len(domain.top_tables(10_000)) <= 50
    assert len(domain.top_tables(-3)) == 1
    for key, field in (("memory", "memory_kb"), ("size", "size")):
        values = [row[field] or 0 for row in domain.top_tables(50, key)]
        assert values == sorted(values, reverse=True)


def grown(domain, program, sizes, rss=lambda number: 100.0 + number):
    """Samples of the table ``the_program.table``, a minute apart."""
    program.table = {}
    for number, size in enumerate(sizes):
        program.table = dict.fromkeys(range(size), "x" * 1000)
        domain.recorder.refresh(0.0)
        domain.recorder.history.add(Sample(60.0 * number, rss(number), {"the_program.table": size}))


def test_a_table_that_only_grows_is_a_candidate_and_one_that_shrinks_is_none(program, domain):
    grown(domain, program, [100, 200, 300])
    (leak,) = domain.leak_candidates(10)["suspected_leaks"]
    assert (leak["name"], leak["size_delta"], leak["growth_pct"], leak["only_grows"]) == (
        "the_program.table", 200, 200.0, True,
    )  # fmt: skip
    assert domain.leak_candidates(500)["suspected_leaks"] == []
    shrinks = EtsDomain()
    grown(shrinks, program, [300, 200, 100])
    assert shrinks.leak_candidates(10)["suspected_leaks"] == []
    assert shrinks.growth_stats(60)["fastest_growing_tables"] == []


def test_growth_is_told_by_the_minutes_asked_for(program, domain):
    grown(domain, program, [100, 1000, 1010, 1020])
    assert domain.growth_stats(2)["fastest_growing_tables"][0]["size_delta"] == 20
    assert domain.growth_stats(10**9)["fastest_growing_tables"][0]["size_delta"] == 920
    assert domain.growth_stats(-5)["samples"] == 2
    assert EtsDomain().growth_stats(5)["note"].startswith("fewer than two samples")


def test_memory_that_tables_do_not_explain_is_called_native_and_not_known(program, domain):
    grown(domain, program, [100, 200, 300], rss=lambda number: 100.0 + 500.0 * number)
    found = domain.leak_candidates(10)
    assert found["native"].startswith("not known")
    assert found["native_mb"] > 900
    assert EtsDomain().leak_candidates(10)["note"].startswith("insufficient history")


def test_a_bounded_table_is_no_candidate(program, domain):
    program.table = deque(maxlen=1000)
    for number, size in enumerate((10, 20, 30)):
        program.table.extend(range(10))
        domain.recorder.refresh(0.0)
        domain.recorder.history.add(Sample(60.0 * number, None, {"the_program.table": size}))
    assert domain.leak_candidates(1)["suspected_leaks"] == []


def test_the_store_samples_at_its_interval_every_time_and_outlives_a_crash(program, domain, monkeypatch):
    sampled = threading.Semaphore(0)
    monkeypatch.setattr(domain.recorder, "sample", lambda _oldest: sampled.release())
    with FakeClock() as clock:
        supervisor = Supervisor.start(domain.children(), max_restarts=100, max_seconds=1)
        for _ in range(4):
            clock.wait_for_waiters(1)
            clock.advance(store_module.INTERVAL)
            assert sampled.acquire(timeout=20)
        clock.wait_for_waiters(1)
        clock.advance(store_module.INTERVAL / 2)
        assert not sampled.acquire(blocking=False)
        supervisor.stop()


def test_what_a_table_gained_since_it_last_shrank_is_what_the_sensor_sees(program, domain):
    program.table = {number: bytes(1000) for number in range(100)}
    domain.recorder.sample()
    assert domain.sense()["kept_growth_mb"] == 0
    program.table |= {number: bytes(1000) for number in range(100, 1100)}
    assert domain.sense()["kept_growth_mb"] == pytest.approx(1.1, rel=0.2)
    for number in range(700):
        del program.table[number]
    assert domain.sense()["kept_growth_mb"] == 0


def test_a_leak_wakes_and_a_bounded_cache_that_fills_or_a_table_that_breathes_does_not(domain):
    def woke(values):
        bank = SensorBank(domain.sensors)
        return [s.name for at, value in enumerate(values) for s in bank.feed(float(at), {"kept_growth_mb": value})]

    assert "table_growth" in woke([5.0 * second for second in range(30)])
    assert woke([min(30.0, 3.0 * second) for second in range(120)]) == []
    assert woke([30.0 * (second % 20) / 20 for second in range(300)]) == []


def test_a_full_cache_whose_hit_rate_collapsed_is_named_with_its_function(program, domain, tmp_path):
    file = tmp_path / "thrash.py"
    file.write_text("import functools\n@functools.lru_cache(maxsize=100)\ndef page(number):\n    return number\n")
    program.__file__ = str(file)
    exec(compile(file.read_text(), str(file), "exec"), program.__dict__)
    for number in range(200):
        program.page(number)
    domain.recorder.sample()
    domain.sense()
    domain.recorder._rates["the_program.page"] = rate = HitRate()
    rate.last = Collapse(usual=0.95, rate=0.05, lookups=5000, seconds=10.0)
    (piece,) = domain.evidence(SensorState("cache_thrash", "hit_drop_pct", "cache_thrash", "warning", "", 0.0, 90.0))
    assert (piece.cause, piece.strength) == (CauseKind.CACHE_THRASH, Strength.CONCLUSIVE)
    assert (piece.place.file, piece.place.line) == (str(file), 2)
    assert "answered 5% of 5000 lookups in 10 s, 95% before" in piece.text


def test_an_object_counts_the_largest_container_that_it_keeps_and_its_own_counters():
    class Store:
        def __init__(self):
            self.entries, self.other = {1: 1, 2: 2}, [1]
            self.hits, self.misses, self.maxsize = 3, 1, 2

    numbers = numbers_of(Store())
    assert numbers == Numbers(2, 2, 3, 1)
    assert (numbers.hit_rate_pct, numbers.full) == (75.0, True)
    assert numbers_of(object()) is None
    assert numbers_of(cachetools.TTLCache(5, 1)).maxsize == 5
