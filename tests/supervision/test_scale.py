"""Many children: what one costs does not grow with their number.

Measured in time of the processor, which other programs cannot take away.
"""

from __future__ import annotations

import time

import pytest

from beamlens_supervision import (
    ChildCounts,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
)
from tests.supervision.helpers import LIMIT, Worker, worker


def test_list_and_count_agree_for_five_hundred_children() -> None:
    sup = DynamicSupervisor.start()
    started = [sup.start_child(worker(str(number), restart="temporary")) for number in range(500)]
    assert sup.count_children() == ChildCounts(500, 500, 0, 500)
    for ref in started[::2]:
        sup.terminate_child(ref)
    assert [info.ref for info in sup.which_children()] == started[1::2]
    sup.stop(timeout=LIMIT)
    assert not any(ref.is_alive() for ref in started)


def test_a_child_costs_about_the_same_among_many() -> None:
    def cpu_seconds_each(number: int) -> float:
        begin = time.process_time()
        sup = DynamicSupervisor.start()
        for _ in range(number):
            sup.start_child(worker("a", restart="temporary"))
        sup.stop()
        return (time.process_time() - begin) / number

    cpu_seconds_each(50)
    assert cpu_seconds_each(1000) < 10 * cpu_seconds_each(100)


@pytest.mark.backend("greenlets")
def test_list_and_count_agree_for_two_thousand_children() -> None:
    sup = DynamicSupervisor.start()
    started = [sup.start_child(worker(str(number), restart="temporary")) for number in range(2000)]
    for _ in range(2):
        assert sup.count_children() == ChildCounts(2000, 2000, 0, 2000)
        assert [info.ref for info in sup.which_children()] == started
    for ref in started[::2]:
        sup.terminate_child(ref)
    assert (sup.count_children().active, [info.ref for info in sup.which_children()]) == (1000, started[1::2])


@pytest.mark.backend("greenlets")
def test_ten_times_the_dynamic_children_take_about_ten_times_as_long() -> None:
    def cpu_seconds_each(number: int) -> float:
        begin = time.process_time()
        sup = DynamicSupervisor.start()
        for _ in range(number):
            sup.start_child(ChildSpec("a", Worker.start, restart="temporary"))
        sup.stop()
        return (time.process_time() - begin) / number

    assert cpu_seconds_each(10_000) < 5 * min(cpu_seconds_each(1000) for _ in range(3))


@pytest.mark.backend("greenlets")
def test_ten_times_the_static_children_take_about_ten_times_as_long() -> None:
    def cpu_seconds_each(number: int) -> float:
        specs = [ChildSpec(each, Worker.start) for each in range(number)]
        begin = time.process_time()
        Supervisor.start(specs).stop()
        return (time.process_time() - begin) / number

    assert cpu_seconds_each(10_000) < 5 * min(cpu_seconds_each(1000) for _ in range(3))
