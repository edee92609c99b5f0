"""What an operator goes by: the watcher's sensors with its last readings, or its own."""

from __future__ import annotations

import pytest

from beamlens.detect import Growth, Sensor, SensorState
from beamlens.domains import Domain
from beamlens.metrics import Metric
from beamlens.operator.sensing import Asked, Sensing, Watched
from beamlens_actors.testing import FakeClock
from tests.beamlens.operator.test_lending import Watching


class Pool(Domain):
    name = "pool"
    metrics = (
        Metric("held", "connections", direction="up", matters=10),
        Metric("depth", "orders", high=100),
        Metric("total", "orders", direction="up", matters=10, kind="counter"),
        Metric("idle", "connections"),
    )
    sensors = (Sensor("exhaustion", "held", lambda: Growth(least=1e9)),)

    def __init__(self):
        self.held, self.depth, self.failing = 0, 0, False

    def snapshot(self):
        return {"held": self.held, "depth": self.depth, "total": self.held, "idle": self.held}

    def sense(self):
        if self.failing:
            raise ZeroDivisionError("gone")
        return super().sense()


def readings(count, step=2.0):
    return [(float(at), {"held": step * at, "depth": 1.0}) for at in range(count)]


def names(senses):
    return [state.name for state in senses.active()]


def test_growth_of_a_metric_that_is_declared_harmful_upwards_is_seen_and_of_no_other():
    assert Asked(Pool()).names() == ("held_growth",)


def test_what_grew_in_the_watchers_last_readings_is_seen_at_once():
    senses = Watched(Watching(readings(12)), Asked(Pool()))
    assert names(senses) == ["held_growth"]
    assert "held grew steadily" in senses.active()[0].reason


def test_what_did_not_grow_is_not_seen():
    assert names(Watched(Watching(readings(12, step=0.0)), Asked(Pool()))) == []


def test_readings_count_once_however_often_it_is_asked():
    watching = Watching(readings(6))
    senses = Watched(watching, Asked(Pool()))
    assert [names(senses) for _ in range(5)] == [[]] * 5
    watching.readings = readings(12)
    assert names(senses) == ["held_growth"]


def test_the_domains_own_sensor_on_a_metric_comes_first():
    own = SensorState("exhaustion", "held", "exhaustion", "critical", "held is 22", 0.0, 22.0)
    assert names(Watched(Watching(readings(12), [own]), Asked(Pool()))) == ["exhaustion"]


@pytest.mark.parametrize(("count", "settled"), [(9, False), (10, True)])
def test_a_watcher_that_has_read_ten_times_has_seen_enough(count, settled):
    assert Watched(Watching(readings(count)), Asked(Pool())).settled is settled


def test_evidence_is_asked_for_under_the_name_that_the_domain_knows():
    asked = Asked(Pool())
    growth = SensorState("held_growth", "held", "held_growth", "warning", "r", 0.0, 1.0)
    depth = SensorState("depth_threshold", "depth", "depth_high", "warning", "r", 0.0, 1.0)
    assert (asked.for_evidence(growth).name, asked.for_evidence(depth).name) == ("exhaustion", "depth_threshold")


def test_where_nobody_watches_a_threshold_counts_from_the_first_reading_on():
    domain = Pool()
    domain.depth = 150
    sensing = Sensing(domain, Asked(domain), lambda _reason: None)
    assert names(sensing) == []
    sensing.read()
    assert names(sensing) == ["depth_threshold"]
    assert sensing.active()[0].reason == "depth is 150 orders, at or above 100 orders"


def test_where_nobody_watches_growth_is_seen_within_its_own_readings():
    domain = Pool()
    with FakeClock() as clock:
        sensing = Sensing(domain, Asked(domain), lambda _reason: None)
        for _ in range(12):
            domain.held += 2
            sensing.read()
            clock.advance(1.0)
    assert names(sensing) == ["held_growth"]


def test_numbers_that_raise_are_told_once_until_they_can_be_read_again():
    domain, told = Pool(), []
    sensing = Sensing(domain, Asked(domain), told.append)
    for failing in (True, True, False, True):
        domain.failing = failing
        sensing.read()
    assert told == ["ZeroDivisionError: gone"] * 2
