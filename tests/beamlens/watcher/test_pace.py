"""How often a domain's numbers are read."""

from __future__ import annotations

import pytest

from beamlens.domains import Domain
from beamlens.metrics import Metric
from beamlens.telemetry import Bus
from beamlens.watcher.pace import Pace
from beamlens.watcher.sensing import Sensing
from beamlens_actors.testing import FakeClock


class Cpu:
    """CPU clocks that a test sets."""

    def __init__(self) -> None:
        self.own = self.process = 0.0


def one_reading(pace: Pace, cpu: Cpu, fake: FakeClock, *, cost: float, process: float, active: bool = False) -> float:
    pace.begin()
    cpu.own += cost
    cpu.process += process
    wait = pace.end(active=active)
    fake.advance(wait)
    return wait


@pytest.fixture
def fake():
    with FakeClock() as clock:
        yield clock


def settled(cpu: Cpu, fake: FakeClock, *, cost: float, process: float) -> Pace:
    pace = Pace(own_cpu=lambda: cpu.own, process_cpu=lambda: cpu.process)
    first_minute = [one_reading(pace, cpu, fake, cost=cost, process=process) for _ in range(60)]
    assert first_minute == [1.0] * 60
    return pace


def test_a_dear_reading_of_a_process_that_rests_is_taken_every_ten_seconds_after_the_first_minute(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.002, process=0.002)
    assert one_reading(pace, cpu, fake, cost=0.002, process=0.002) == 10.0


def test_a_reading_that_costs_next_to_nothing_is_taken_every_second(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.00005, process=0.002)
    assert one_reading(pace, cpu, fake, cost=0.00005, process=0.002) == 1.0


def test_what_it_takes_to_wake_for_a_reading_counts(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.00005, process=0.002)
    for _ in range(60):
        cpu.own += 0.00035
        wait = one_reading(pace, cpu, fake, cost=0.00005, process=0.002)
    assert wait == pytest.approx(4.0, abs=0.001)


def test_a_process_that_works_is_read_as_often_as_a_thousandth_of_a_processor_allows(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.002, process=0.5)
    assert one_reading(pace, cpu, fake, cost=0.002, process=0.5) == pytest.approx(2.0)


def test_an_active_sensor_is_read_every_second(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.002, process=0.002)
    assert one_reading(pace, cpu, fake, cost=0.002, process=0.002, active=True) == 1.0


def test_a_process_that_begins_to_work_is_read_faster_from_the_next_reading_on(fake):
    cpu = Cpu()
    pace = settled(cpu, fake, cost=0.0008, process=0.002)
    assert one_reading(pace, cpu, fake, cost=0.0008, process=0.002) == pytest.approx(8.0)
    assert one_reading(pace, cpu, fake, cost=0.0008, process=2.0) == 1.0


class Watched(Domain):
    """A domain."""

    name = "watched"
    metrics = (Metric("depth", "jobs", high=10),)

    def sense(self):
        return {"depth": 1.0}

    def snapshot(self):
        return {}


class Unwatched(Watched):
    """A domain in which nothing is to be watched."""

    metrics = ()

    def sense(self):
        return {}


class OneWait:
    """An abort signal that is aborted by the first wait for it."""

    aborted = False

    def wait(self, timeout):
        self.aborted, self.timeout = True, timeout


@pytest.mark.parametrize(("domain", "waits"), [(Watched, 1.0), (Unwatched, None)])
def test_where_nothing_is_to_be_watched_nobody_wakes(domain, waits):
    abort = OneWait()
    Sensing(domain(), Bus("pace"), "watched", lambda _changed: None).run(abort)
    assert abort.timeout == waits
