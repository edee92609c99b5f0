"""`await_many` and `yield_many`."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Killed, SelfAsk, abandoned
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    InvalidSupervisorOption,
    Task,
    TaskResult,
    TaskSupervisor,
    TaskTimeout,
    await_many,
    yield_many,
)
from tests.supervision.helpers import LIMIT, Boom, left_on
from tests.supervision.task_helpers import Caller, fail, hanging, wait_on


def advancing(clock: FakeClock, seconds: float) -> threading.Thread:
    """Lets time pass once somebody waits for so long."""
    thread = threading.Thread(target=lambda: (clock.wait_for_waiters(1, within=seconds), clock.advance(seconds)))
    thread.start()
    return thread


def test_values_come_in_the_order_of_the_tasks_whichever_ends_first(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    slow = hanging(sup, gate)
    quick = sup.run(abs, -1)
    quick.result(LIMIT)
    gate.set()
    assert await_many([slow, quick, slow], LIMIT) == ["late", 1, "late"]


def test_of_none_there_is_nothing_to_wait_for() -> None:
    assert (await_many([]), yield_many([])) == ([], [])


def test_the_first_failure_ends_the_wait_though_others_run_on(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    slow = hanging(sup, gate)
    with pytest.raises(Boom, match="task"):
        await_many([slow, sup.run(fail)], LIMIT)
    assert slow.done() is False
    gate.set()
    assert slow.result(LIMIT) == "late"


def test_those_that_are_late_raise_and_run_on(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        tasks = [hanging(sup, gate), sup.run(abs, -1)]
        tasks[1].result()
        timer = advancing(clock, 2.0)
        with pytest.raises(TaskTimeout, match=r"1 of 2 tasks, task:wait_on first, took over 2\.0 s"):
            await_many(tasks, 2.0)
        timer.join(LIMIT)
        gate.set()
        assert await_many(tasks) == ["late", 1]


def test_an_actor_may_wait_for_many() -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    run = lambda _actor: await_many([sup.run(abs, -n) for n in range(20)], LIMIT)  # noqa: E731
    assert caller.ask(run) == list(range(20))


def test_yielding_gives_how_each_ended_in_order() -> None:
    sup = TaskSupervisor.start()
    first, second = yield_many([sup.run(fail), sup.run(abs, -2)], LIMIT)
    assert first is not None
    assert (first.ok, second) == (False, TaskResult(2))


def test_those_that_are_late_are_none_and_may_be_asked_again(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        tasks: list[Task[Any]] = [hanging(sup, gate), sup.run(abs, -1)]
        tasks[1].result()
        timer = advancing(clock, 5.0)
        assert yield_many(tasks) == [None, TaskResult(1)]
        timer.join(LIMIT)
        gate.set()
        assert yield_many(tasks, None) == [TaskResult("late"), TaskResult(1)]


def test_those_that_are_late_may_be_killed_all_at_once(backend: str, gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    tasks = [hanging(sup, gate), hanging(sup, gate)]
    assert yield_many(tasks, 0, on_timeout="kill") == [TaskResult(reason=Killed())] * 2
    assert len(abandoned()) == left_on(backend, 2)


def test_killing_those_that_are_late_spares_their_caller(gate: threading.Event) -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    task: Task[Any] = caller.ask(lambda _actor: hanging(sup, gate))
    caller.ask(lambda _actor: yield_many([task], 0, on_timeout="kill"))
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_those_that_are_late_may_be_ignored_and_are_linked_no_more(gate: threading.Event) -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    task: Task[Any] = caller.ask(lambda _actor: hanging(sup, gate))
    assert yield_many([task], 0, on_timeout="ignore") == [None]
    caller.tell(lambda _actor: fail())
    caller.join(LIMIT)
    assert task.done() is False
    gate.set()
    assert task.result(LIMIT) == "late"


def test_an_ignored_task_that_fails_spares_its_caller(gate: threading.Event) -> None:
    def fail_later() -> None:
        wait_on(gate)
        fail()

    sup, caller = TaskSupervisor.start(), Caller.start()
    task: Task[Any] = caller.ask(lambda _actor: sup.run(fail_later))
    assert task.ignore() is None
    gate.set()
    task.ref.join(LIMIT)
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_ignoring_one_that_has_ended_gives_how() -> None:
    task = TaskSupervisor.start().run(abs, -1)
    task.result(LIMIT)
    assert task.ignore() == TaskResult(1)


def test_a_limit_returns_as_soon_as_so_many_have_ended(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    tasks: list[Task[Any]] = [hanging(sup, gate), sup.run(abs, -1), hanging(sup, gate)]
    assert yield_many(tasks, None, limit=1) == [None, TaskResult(1), None]


def test_waiting_leaves_nothing_with_the_tasks(gate: threading.Event) -> None:
    task = hanging(TaskSupervisor.start(), gate)
    before = len(task._outcome._waiting)
    for _ in range(3):
        yield_many([task], 0)
    assert len(task._outcome._waiting) == before


def test_a_task_that_waits_for_itself_is_refused(gate: threading.Event) -> None:
    found: list[Task[Any]] = []

    def itself() -> Any:
        wait_on(gate)
        return found[0].result()

    found.append(TaskSupervisor.start().run(itself))
    gate.set()
    with pytest.raises(SelfAsk):
        found[0].result(LIMIT)


@pytest.mark.parametrize("wait", [await_many, yield_many])
@pytest.mark.parametrize(("tasks", "timeout", "field"), [([3], 1, "tasks"), ([], -1, "timeout"), ([], "1", "timeout")])
def test_a_bad_argument_is_refused(wait: Any, tasks: Any, timeout: Any, field: str) -> None:
    with pytest.raises(InvalidSupervisorOption) as caught:
        wait(tasks, timeout)
    assert caught.value.field == field


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": True}, {"on_timeout": "raise"}])
def test_a_bad_option_of_yielding_is_refused(options: Any) -> None:
    with pytest.raises(InvalidSupervisorOption, match=next(iter(options))):
        yield_many([], **options)
