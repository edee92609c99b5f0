"""Tasks: what they return, raise and see."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from beamlens_actors import (
    ActorCrashed,
    Crash,
    ReplyError,
    current_actor,
)
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    MaxChildren,
    TaskResult,
    TaskSupervisor,
    TaskTimeout,
    callers,
)
from tests.supervision.helpers import LIMIT, Boom
from tests.supervision.task_helpers import Caller, fail, hanging


def test_a_task_returns_what_its_function_returns() -> None:
    assert TaskSupervisor.start().run(divmod, 7, 2).result(LIMIT) == (3, 1)


def test_once_a_result_is_there_its_supervisor_has_forgotten_the_task() -> None:
    sup = TaskSupervisor.start(max_children=1)
    assert [sup.run(abs, -n).result(LIMIT) for n in range(200)] == list(range(200))
    assert sup.count_children().specs == 0


def test_result_raises_what_the_function_raised() -> None:
    with pytest.raises(Boom, match="task"):
        TaskSupervisor.start().run(fail).result(LIMIT)


def test_a_system_exit_in_a_task_stays_in_it() -> None:
    sup = TaskSupervisor.start()
    with pytest.raises(ActorCrashed) as caught:
        sup.run(exit, 3).result(LIMIT)
    assert isinstance(caught.value.cause, SystemExit)
    assert sup.run(abs, -1).result(LIMIT) == 1


def test_a_task_that_fails_is_not_restarted_and_its_supervisor_lives() -> None:
    sup = TaskSupervisor.start(max_restarts=0)
    for _ in range(3):
        assert not sup.run(fail).outcome().ok
    assert sup.which_children() == []


def test_a_refusal_raised_by_the_function_ends_the_task_with_its_error() -> None:
    def refuse() -> None:
        raise ReplyError(Boom("refused"))

    with pytest.raises(Boom, match="refused"):
        TaskSupervisor.start().run(refuse).result(LIMIT)


def test_a_result_that_is_late_raises_and_can_be_had_later(gate: threading.Event) -> None:
    with FakeClock() as clock:
        task = hanging(TaskSupervisor.start(), gate)
        timer = threading.Thread(target=lambda: (clock.wait_for_waiters(1), clock.advance(2.0)))
        timer.start()
        with pytest.raises(TaskTimeout, match=r"after 2\.0 s"):
            task.result(2.0)
        timer.join(LIMIT)
    gate.set()
    assert task.result(LIMIT) == "late"


def test_a_timeout_error_of_the_function_is_its_own() -> None:
    def own() -> None:
        raise TaskTimeout("mine")

    with pytest.raises(TaskTimeout, match="mine"):
        TaskSupervisor.start().run(own).result(LIMIT)


def test_poll_is_none_while_it_runs_and_then_the_result(gate: threading.Event) -> None:
    task = hanging(TaskSupervisor.start(), gate)
    assert (task.poll(), task.done()) == (None, False)
    gate.set()
    assert (task.poll(LIMIT), task.done()) == (TaskResult("late"), True)


def test_poll_of_a_failed_task_gives_the_reason() -> None:
    outcome = TaskSupervisor.start().run(fail).poll(LIMIT)
    assert outcome is not None
    assert isinstance(outcome.reason, Crash)
    assert (outcome.ok, outcome.value) == (False, None)


def test_several_threads_may_wait_for_one_task(gate: threading.Event) -> None:
    task = hanging(TaskSupervisor.start(), gate)
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(task.result(LIMIT))) for _ in range(5)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(LIMIT)
    assert got == ["late"] * 5


def test_a_task_can_be_awaited() -> None:
    sup = TaskSupervisor.start()

    async def main() -> tuple[int, bool]:
        failed = False
        try:
            await sup.run(fail)
        except Boom:
            failed = True
        return await sup.run(abs, -5), failed

    assert asyncio.run(main()) == (5, True)


def test_a_done_callback_is_called_once_with_the_task() -> None:
    done = threading.Event()
    seen: list[Any] = []
    task = TaskSupervisor.start().run(abs, -1)
    task.add_done_callback(lambda each: (seen.append(each), done.set()))
    assert done.wait(LIMIT)
    task.add_done_callback(seen.append)
    assert seen == [task, task]


@pytest.mark.backend("threads")
def test_the_thread_of_a_task_bears_its_name() -> None:
    sup = TaskSupervisor.start()
    task = sup.run(lambda: threading.current_thread().name, name="tool:lua")
    assert (task.result(LIMIT), task.name) == ("tool:lua", "tool:lua")


def test_a_task_is_named_for_its_function() -> None:
    assert TaskSupervisor.start().run(fail).name == "task:fail"


def test_a_task_sees_the_context_variables_of_its_caller_and_changes_only_its_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("trace")
    variable.set("trace-1")

    def change() -> str:
        before = variable.get()
        variable.set("other")
        return before

    assert TaskSupervisor.start().run(change).result(LIMIT) == "trace-1"
    assert variable.get() == "trace-1"


def test_callers_are_recorded_for_nested_tasks() -> None:
    sup = TaskSupervisor.start()
    caller = Caller.start()

    def outer() -> Any:
        return current_actor(), sup.run(callers).result(LIMIT)

    me, chain = caller.ask(lambda _actor: sup.run(outer).result(LIMIT))
    assert chain == (me, caller)
    assert sup.run(callers).result(LIMIT) == ()


def test_max_children_refuses_one_more_task(gate: threading.Event) -> None:
    sup = TaskSupervisor.start(max_children=1)
    task = hanging(sup, gate)
    with pytest.raises(MaxChildren):
        sup.run(abs, -1)
    gate.set()
    task.result(LIMIT)
    assert sup.run(abs, -1).result(LIMIT) == 1
