from __future__ import annotations

import threading

import pytest

from beamlens.domains import AnomalyDomain
from beamlens.domains.sources import Source, Surroundings
from beamlens.metrics import Metric
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor


class World:
    """Domains that a test makes up, and the anomaly domain that watches them, on a clock that stands still."""

    def __init__(self, folder=None, **options):
        self.sources = {}
        self.events = []
        self.folder = folder
        self.seen = threading.Condition()
        self.domain = AnomalyDomain(**{"learning_duration_ms": 0, "warm_up_ms": 0, **options})
        self.domain.join(Surroundings(lambda: self.sources, self.emit, "shop", folder))

    def emit(self, name, sender, measurements=None, /, **metadata):
        assert sender == "anomaly"
        with self.seen:
            self.events.append((name.removeprefix("anomaly."), {**(measurements or {}), **metadata}))
            self.seen.notify_all()

    def names(self):
        return [name for name, _ in self.events]

    def wait_for(self, name, count=1):
        with self.seen:
            assert self.seen.wait_for(lambda: self.names().count(name) >= count, 10), self.names()

    def start(self):
        self.root = Supervisor.start(self.domain.children())

    def stop(self):
        self.root.stop()


def wait_until(condition):
    """Collections run on real threads: a turn of theirs is waited for."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come to that")


def collect(clock, domain, count=1, interval=30.0):
    """So many collections, each to its end."""
    for _ in range(count):
        before = domain.snapshot()["collections"]
        clock.advance(interval)
        wait_until(lambda before=before: domain.snapshot()["collections"] > before)


@pytest.fixture
def clock():
    with FakeClock() as made:
        yield made


def test_it_collects_at_once_and_then_at_its_interval(clock):
    world = World()
    world.sources["orders"] = Source(lambda: {"depth": 5, "name": "x"})
    world.start()
    collect(clock, world.domain, interval=0.0)
    collect(clock, world.domain, 3)
    assert world.domain.snapshot()["metrics_watched"] == 1
    assert world.domain.snapshot()["collections"] == 4
    world.stop()


def test_a_domain_that_raises_costs_one_event_and_not_the_rest(clock):
    world = World()

    def broken():
        raise SystemExit("no")

    world.sources = {"broken": Source(broken), "odd": Source(lambda: 5), "orders": Source(lambda: {"depth": 5})}
    world.start()
    collect(clock, world.domain, interval=0.0)
    world.stop()
    failed = [data for name, data in world.events if name == "detector.metric_collection_failed"]
    assert [(data["domain"], data["reason"]) for data in failed] == [
        ("broken", "SystemExit: no"),
        ("odd", "TypeError: 'int' object is not iterable"),
    ]
    assert [(one.domain, one.last) for one in world.domain._detector.series()] == [("orders", 5.0)]


def test_a_domain_that_hangs_costs_its_time_limit_once_and_is_collected_again_when_it_answers(clock):
    world = World()
    free, calls = threading.Event(), []

    def hanging():
        calls.append(1)
        assert free.wait(10)
        return {"late": 1}

    world.sources = {"hanging": Source(hanging), "orders": Source(lambda: {"depth": 5})}
    world.start()
    clock.advance(0)
    wait_until(lambda: calls)
    clock.advance(2.0)
    wait_until(lambda: world.domain.snapshot()["collections"] == 1)
    collect(clock, world.domain, 3)
    assert len(calls) == 1
    assert world.names().count("detector.metric_collection_failed") == 1
    free.set()
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "anomaly-reads-hanging"])
    collect(clock, world.domain, 2)
    assert len(calls) >= 2
    world.stop()


def test_its_sources_may_be_unknown_for_a_while(clock):
    world = World()
    known, world.sources = {"orders": Source(lambda: {"depth": 5})}, None
    world.start()
    clock.advance(0)
    world.wait_for("detector.metric_collection_failed")
    world.sources = known
    collect(clock, world.domain)
    world.stop()


def test_the_whole_life_learning_active_escalation_cooldown(clock):
    world = World(learning_duration_ms=3_600_000, cooldown_ms=300_000)
    depth = [5]
    world.sources["orders"] = Source(lambda: {"depth": depth[0]}, [Metric("depth", "orders", high=1000)])
    world.start()
    collect(clock, world.domain, interval=0.0)
    assert world.domain.snapshot()["detector_state"] == "learning"
    collect(clock, world.domain, 120)
    assert world.domain.snapshot()["detector_state"] == "active"
    assert world.domain.sense() == {"escalated": 0.0}
    depth[0] = 80
    collect(clock, world.domain, 3)
    assert world.domain.snapshot()["detector_state"] == "cooldown"
    assert world.domain.sense() == {"escalated": 1.0}
    assert world.domain.snapshot()["triggers_in_last_hour"] == 1
    collect(clock, world.domain, 10)
    assert world.domain.snapshot()["detector_state"] == "active"
    assert world.names() == [
        "detector.learning_complete",
        "detector.anomaly_detected",
        "detector.escalation",
        "detector.run_requested",
        "detector.cooldown_started",
        "detector.cooldown_complete",
    ]
    assert world.events[3][1]["anomalies"] == "orders.depth: 80"
    world.stop()


def test_a_restart_of_the_process_goes_on_where_it_was(clock, tmp_path):
    first = World(tmp_path)
    first.sources["orders"] = Source(lambda: {"depth": 5})
    first.start()
    collect(clock, first.domain, interval=0.0)
    collect(clock, first.domain, 60)
    first.stop()
    second = World(tmp_path)
    second.sources["orders"] = Source(lambda: {"depth": 80})
    second.start()
    collect(clock, second.domain, interval=0.0)
    collect(clock, second.domain, 2)
    assert "detector.escalation" in second.names()
    second.stop()


def test_it_saves_every_five_minutes(clock, tmp_path):
    world = World(tmp_path)
    world.sources["orders"] = Source(lambda: {"depth": 5})
    world.start()
    collect(clock, world.domain, interval=0.0)
    assert list(tmp_path.glob("*.jsonl")) == []
    collect(clock, world.domain, 10)
    wait_until(lambda: list(tmp_path.glob("*.jsonl")))
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["anomaly-shop.jsonl"]
    world.stop()


def test_a_store_that_is_killed_and_restarted_has_lost_nothing(clock, tmp_path):
    world = World(tmp_path)
    world.sources["orders"] = Source(lambda: {"depth": 5})
    world.start()
    collect(clock, world.domain, interval=0.0)
    collect(clock, world.domain, 30)
    store = world.root.child("AnomalyStore")
    store.kill()
    wait_until(lambda: world.root.child("AnomalyStore") not in (None, store))
    collect(clock, world.domain, interval=0.0)
    assert world.domain.snapshot()["collections"] == 32
    assert world.domain._detector.series()[0].values_in_baseline == 32
    world.stop()
