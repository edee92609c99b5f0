"""Tasks that are linked, stopped, cancelled or abandoned, and the end of their supervisor."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import (
    ActorDead,
    Crash,
    Killed,
    Shutdown,
    abandoned,
    offload,
)
from beamlens_actors.testing import FakeClock, Probe
from beamlens_supervision import (
    ChildSpec,
    Task,
    TaskCancelled,
    TaskEnded,
    TaskResult,
    TaskSupervisor,
)
from beamlens_supervision.parent import Request
from tests.supervision.helpers import LIMIT, Boom, Worker, left_on
from tests.supervision.task_helpers import Caller, fail, hanging, wait_on


def test_a_failing_task_ends_the_actor_that_ran_it() -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    caller.tell(lambda _actor: sup.run(fail))
    reason = caller.join(LIMIT)
    assert isinstance(reason, Crash)
    assert isinstance(reason.exception, Boom)


def test_an_actor_that_traps_exits_survives_its_failing_task() -> None:
    sup, caller = TaskSupervisor.start(), Caller.start(trap=True)
    with pytest.raises(Boom):
        caller.ask(lambda _actor: sup.run(fail)).result(LIMIT)
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_an_unlinked_task_does_not_end_the_actor_that_ran_it() -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    with pytest.raises(Boom):
        caller.ask(lambda _actor: sup.run_nolink(fail)).result(LIMIT)
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_a_task_that_succeeds_leaves_its_caller_alone() -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    assert caller.ask(lambda _actor: sup.run(abs, -2).result(LIMIT)) == 2
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_a_task_of_an_actor_that_fails_is_ended_and_abandoned_in_its_time(backend: str, gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup, caller = TaskSupervisor.start(), Caller.start()
        task: Task[Any] = caller.ask(lambda _actor: hanging(sup, gate, shutdown=2.0))
        caller.tell(lambda _actor: fail())
        reason = caller.join(None)
        outcome = task.outcome()
        clock.advance(2.0)
        assert (outcome.reason, task.ref.join(None)) == (reason, Killed())
        assert len(abandoned()) == left_on(backend, 1)
        assert sup.which_children() == []


def test_an_unlinked_task_outlives_its_caller(gate: threading.Event) -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    entered = threading.Event()
    task = caller.ask(lambda _actor: sup.run_nolink(wait_on, gate, entered, 1))
    assert entered.wait(LIMIT)
    caller.tell(lambda _actor: fail())
    caller.join(LIMIT)
    gate.set()
    assert task.result(LIMIT) == 1


def test_shutdown_of_a_finished_task_gives_its_result() -> None:
    task = TaskSupervisor.start().run(abs, -1)
    task.result(LIMIT)
    assert task.shutdown() == TaskResult(1)


def test_shutdown_gives_the_result_of_a_function_that_returns_in_its_time(gate: threading.Event) -> None:
    with FakeClock() as clock:
        task = hanging(TaskSupervisor.start(), gate)
        opener = threading.Thread(target=lambda: (clock.wait_for_waiters(1), gate.set()))
        opener.start()
        assert task.shutdown(5.0) == TaskResult("late")
        opener.join(LIMIT)


def test_shutdown_kills_after_its_time_and_tells_so(backend: str, gate: threading.Event) -> None:
    with FakeClock() as clock:
        task = hanging(TaskSupervisor.start(), gate)
        timer = threading.Thread(target=lambda: (clock.wait_for_waiters(1), clock.advance(5.0)))
        timer.start()
        assert task.shutdown(5.0) == TaskResult(reason=Killed())
        timer.join(LIMIT)
    assert [thread.name for thread in abandoned()] == ["task:wait_on"] * left_on(backend, 1)


def test_a_brutal_shutdown_does_not_wait(gate: threading.Event) -> None:
    task = hanging(TaskSupervisor.start(), gate)
    assert task.shutdown("brutal_kill") == TaskResult(reason=Killed())


def test_shutdown_of_a_linked_task_spares_its_caller(gate: threading.Event) -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    task: Task[Any] = caller.ask(lambda _actor: hanging(sup, gate))
    caller.ask(lambda _actor: task.shutdown("brutal_kill"))
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_cancel_tells_waiters_at_once_and_abandons_the_thread_in_its_time(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        task = hanging(sup, gate, shutdown=2.0)
        assert task.cancel() is True
        with pytest.raises(TaskCancelled):
            task.result(0)
        assert sup.count_children().active == 1
        clock.advance(2.0)
        assert task.ref.join(None) == Killed()
        assert sup.count_children().active == 0


def test_a_cancelled_task_that_returns_is_still_cancelled(gate: threading.Event) -> None:
    task = hanging(TaskSupervisor.start(), gate)
    task.cancel()
    gate.set()
    task.ref.join(LIMIT)
    with pytest.raises(TaskCancelled):
        task.result(LIMIT)


def test_cancelling_a_linked_task_spares_its_caller(gate: threading.Event) -> None:
    sup, caller = TaskSupervisor.start(), Caller.start()
    task: Task[Any] = caller.ask(lambda _actor: hanging(sup, gate))
    assert caller.ask(lambda _actor: task.cancel()) is True
    gate.set()
    task.ref.join(LIMIT)
    assert caller.ask(lambda _actor: "alive") == "alive"


def test_a_cancelled_task_that_ended_leaves_no_timer(gate: threading.Event) -> None:
    with FakeClock() as clock:
        task = hanging(TaskSupervisor.start(), gate)
        task.cancel()
        assert clock.waiters() == 1
        gate.set()
        task.ref.join(None)
        assert clock.waiters() == 0


def test_cancelling_a_finished_task_is_false() -> None:
    task = TaskSupervisor.start().run(abs, -1)
    task.result(LIMIT)
    assert task.cancel() is False
    assert task.result(LIMIT) == 1


def test_a_stopped_supervisor_fails_its_tasks_waiters_at_once(backend: str, gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = TaskSupervisor.start()
        task = hanging(sup, gate, shutdown=3.0)
        stopped = sup.stop(block=False)
        with pytest.raises(TaskEnded) as caught:
            task.result()
        assert caught.value.reason == Shutdown()
        clock.wait_for_waiters(1)
        clock.advance(3.0)
        assert stopped.get(timeout=None) is True
        assert len(abandoned()) == left_on(backend, 1)


def test_a_killed_supervisor_fails_its_tasks_waiters(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    task = hanging(sup, gate)
    sup.kill()
    assert task.outcome().reason == Killed()


def test_a_supervisor_killed_while_busy_fails_its_tasks_waiters(gate: threading.Event) -> None:
    entered = threading.Event()

    def slow() -> Any:
        entered.set()
        offload(gate.wait, LIMIT)
        raise Boom

    sup = TaskSupervisor.start()
    task = hanging(sup, gate)
    sup.tell(Request("start_child", (ChildSpec("slow", slow),)))
    assert entered.wait(LIMIT)
    sup.kill()
    assert task.outcome().reason == Killed()


@pytest.mark.backend("threads")
def test_an_abandoned_task_frees_its_place_and_its_late_result_is_dropped(gate: threading.Event) -> None:
    sup = TaskSupervisor.start(max_children=1)
    task = hanging(sup, gate)
    task.ref.kill()
    assert sup.run(abs, -1).result(LIMIT) == 1
    (thread,) = abandoned()
    gate.set()
    thread.join(LIMIT)
    assert task.outcome() == TaskResult(reason=Killed())


def test_a_stopped_supervisor_runs_nothing() -> None:
    sup = TaskSupervisor.start()
    sup.stop(timeout=LIMIT)
    with pytest.raises(ActorDead):
        sup.run(abs, -1)


def test_start_child_runs_a_function_for_its_effects() -> None:
    seen: list[Any] = []
    ref = TaskSupervisor.start().start_child(seen.append, 1)
    ref.join(LIMIT)
    assert seen == [1]


def test_start_child_restarts_a_transient_function_that_failed() -> None:
    calls: list[int] = []
    done = threading.Event()

    def twice() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise Boom
        done.set()

    TaskSupervisor.start().start_child(twice, restart="transient")
    assert done.wait(LIMIT)
    assert len(calls) == 2


def test_running_tasks_are_listed_and_can_be_terminated(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    task = hanging(sup, gate, shutdown="brutal_kill")
    assert [(info.id, info.ref) for info in sup.which_children()] == [("task:wait_on", task.ref)]
    sup.terminate_child(task.ref)
    assert task.outcome() == TaskResult(reason=Killed())


def test_a_task_supervisor_can_be_watched_and_restarted_like_any_actor() -> None:
    probe, sup = Probe.start(), TaskSupervisor.start(name="Tasks")
    probe.watch(sup)
    sup.stop(timeout=LIMIT)
    assert probe.expect().reason == Shutdown()
    assert sup.name == "Tasks"


def test_a_worker_may_wait_for_a_task_and_be_asked_by_it() -> None:
    sup, helper = TaskSupervisor.start(), Worker.start("helper")
    assert sup.run(helper.ask, "name?").result(LIMIT) == "helper"
