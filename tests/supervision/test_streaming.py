from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Crash, Killed, abandoned, offload
from beamlens_actors.testing import FakeClock
from beamlens_supervision import InvalidSupervisorOption, MaxChildren, TaskResult, TaskSupervisor, TaskTimeout
from beamlens_supervision.streaming import BUFFERED_PER_TASK
from tests.supervision.helpers import LIMIT, Boom, left_on
from tests.supervision.task_helpers import Caller, wait_on


def test_results_come_in_the_order_of_the_items() -> None:
    sup = TaskSupervisor.start()
    assert [result.value for result in sup.stream(abs, range(-50, 0), 3)] == list(range(50, 0, -1))


def test_a_slow_first_item_still_comes_first(gate: threading.Event) -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 0:
            offload(gate.wait, LIMIT)
        else:
            done.append(item)
        if item == 4:
            gate.set()
        return item

    results = TaskSupervisor.start().stream(work, range(6), 2)
    assert next(results).value == 0
    assert done[:4] == [1, 2, 3, 4]
    assert [result.value for result in results] == [1, 2, 3, 4, 5]


def test_an_unordered_stream_yields_as_they_end(gate: threading.Event) -> None:
    def work(item: int) -> int:
        if item == 0:
            offload(gate.wait, LIMIT)
        return item

    results = TaskSupervisor.start().stream(work, range(3), 2, ordered=False)
    first_two = [next(results).value, next(results).value]
    gate.set()
    assert (first_two, next(results).value) == ([1, 2], 0)


def test_no_more_than_max_concurrency_run_at_a_time() -> None:
    lock = threading.Lock()
    running: list[int] = [0, 0]
    barrier = threading.Barrier(3)

    def work(_item: int) -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        offload(barrier.wait, LIMIT)
        with lock:
            running[0] -= 1

    results = list(TaskSupervisor.start().stream(work, range(9), 3))
    assert (len(results), running[1]) == (9, 3)


def test_items_are_taken_only_as_there_is_room(gate: threading.Event) -> None:
    taken: list[int] = []

    def items() -> Any:
        for item in range(1000):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        if item == 0:
            offload(gate.wait, LIMIT)
        if item == 7:
            gate.set()
        return item

    results = TaskSupervisor.start().stream(work, items(), 2)
    assert next(results).value == 0
    assert len(taken) == 2 * BUFFERED_PER_TASK
    results.close()  # type: ignore[attr-defined]


def test_a_failing_item_is_a_result_and_the_others_go_on() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise Boom
        return item

    results = list(TaskSupervisor.start().stream(work, range(3), 2))
    assert [result.ok for result in results] == [True, False, True]
    assert isinstance(results[1].reason, Crash)


def let_time_pass(clock: FakeClock, running: threading.Semaphore, tasks: int) -> None:
    """Once so many tasks run, and the stream waits for them."""
    for _ in range(tasks):
        assert running.acquire(timeout=LIMIT)
    clock.wait_for_waiters(1, within=1.0)
    clock.advance(1.0)


def test_a_late_item_raises_and_ends_the_rest(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        running = threading.Semaphore(0)
        results = sup.stream(lambda _item: (running.release(), offload(gate.wait, LIMIT)), range(2), 2, timeout=1.0)
        timer = threading.Thread(target=let_time_pass, args=(clock, running, 2))
        timer.start()
        with pytest.raises(TaskTimeout, match=r"item 0 has no result after 1\.0 s"):
            next(results)
        timer.join(LIMIT)
        gate.set()
    for info in sup.which_children():
        assert info.ref is not None
        info.ref.join(LIMIT)
    assert sup.which_children() == []


def test_a_late_item_is_killed_and_the_others_go_on(backend: str, gate: threading.Event) -> None:
    def work(item: int) -> int:
        if item == 0:
            running.release()
            offload(gate.wait, LIMIT)
        return item

    running = threading.Semaphore(0)
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        results = sup.stream(work, range(3), 1, timeout=1.0, on_timeout="kill")
        timer = threading.Thread(target=let_time_pass, args=(clock, running, 1))
        timer.start()
        got = list(results)
        timer.join(LIMIT)
    assert got == [TaskResult(reason=Killed()), TaskResult(1), TaskResult(2)]
    assert len(abandoned()) == left_on(backend, 1)


def test_stopping_early_ends_the_rest(backend: str, gate: threading.Event) -> None:
    entered = threading.Barrier(4)

    def work(item: int) -> int:
        if item:
            offload(entered.wait, LIMIT)
            offload(gate.wait, LIMIT)
        return item

    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        results = sup.stream(work, range(10), 3)
        assert next(results).value == 0
        entered.wait(LIMIT)
        results.close()  # type: ignore[attr-defined]
        clock.advance(5.0)
        assert sup.which_children() == []
    assert len(abandoned()) == left_on(backend, 3)


def test_an_empty_stream_is_empty() -> None:
    assert list(TaskSupervisor.start().stream(abs, [])) == []


@pytest.mark.parametrize(
    ("field", "options"),
    [("max_concurrency", {"max_concurrency": -1}), ("on_timeout", {"on_timeout": "leave"})],
)
def test_a_bad_option_is_refused_at_once(field: str, options: Any) -> None:
    with pytest.raises(InvalidSupervisorOption, match=field):
        TaskSupervisor.start().stream(abs, [1], **options)


def test_a_stream_ends_with_the_actor_that_iterates_over_it(backend: str, gate: threading.Event) -> None:
    started: list[int] = []
    entered = threading.Semaphore(0)

    def work(item: int) -> None:
        started.append(item)
        entered.release()
        offload(gate.wait, LIMIT)

    with FakeClock() as clock:
        sup, consumer = TaskSupervisor.start(), Caller.start()
        consumer.tell(lambda _actor: list(sup.stream(work, range(10), 2, timeout=10.0)))
        for _ in range(2):
            assert entered.acquire(timeout=LIMIT)
        clock.wait_for_waiters(1, within=10.0)  # the consumer, for either
        consumer.kill()
        consumer.join(LIMIT)
        ends = [info.ref for info in sup.which_children()]
        clock.advance(5.0)
        assert [ref.join(LIMIT) for ref in ends if ref is not None] == [Killed()] * len(ends)
        gate.set()
        for thread in abandoned():
            thread.join(LIMIT)
        assert (sorted(started), sup.which_children()) == ([0, 1], [])


def test_items_that_raise_end_the_rest(gate: threading.Event) -> None:
    entered = threading.Event()

    def items() -> Any:
        yield 1
        offload(entered.wait, LIMIT)
        raise Boom

    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        with pytest.raises(Boom):
            list(sup.stream(lambda _item: wait_on(gate, entered), items(), 2))
        clock.advance(5.0)
        assert sup.count_children().specs == 0


def test_a_stream_that_needs_more_room_than_there_is_ends_with_that(gate: threading.Event) -> None:
    sup = TaskSupervisor.start(max_children=1)
    with pytest.raises(MaxChildren):
        list(sup.stream(lambda _item: offload(gate.wait, LIMIT), range(2), 2))
    gate.set()
