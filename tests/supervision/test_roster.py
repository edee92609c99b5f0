"""Tasks are started by whoever wants them: what holds all the same, whoever is busy, ending or short of room."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from beamlens_actors import ActorDead, Killed, Shutdown, abandoned, set_thread_limit
from beamlens_supervision import ChildEnded, ChildStarted, ChildStartError, MaxChildren, Task, TaskEnded, TaskSupervisor
from tests.supervision.helpers import LIMIT, Events
from tests.supervision.task_helpers import fail, hanging, wait_on


def test_a_busy_supervisor_holds_up_no_task(gate: threading.Event) -> None:
    events = Events(ChildStarted, gate)
    sup = TaskSupervisor.start(on_event=events)
    sup.run(abs, -1).result(LIMIT)
    events.wait_for(ChildStarted)
    assert [sup.run(abs, -number).result(LIMIT) for number in (2, 3)] == [2, 3]
    gate.set()
    sup.count_children(timeout=LIMIT)
    assert [type(event) for event in events.all] == [ChildStarted, ChildEnded] * 3


def test_nothing_is_left_untold_though_the_mailbox_was_full(gate: threading.Event) -> None:
    events = Events(ChildStarted, gate)
    sup: Any = TaskSupervisor.options(capacity=1).start(on_event=events)
    for number in range(5):
        sup.run(abs, -number).result(LIMIT)
    gate.set()
    for _ in range(5):
        events.wait_for(ChildEnded)
    assert [type(event) for event in events.all] == [ChildStarted, ChildEnded] * 5


def test_each_task_that_is_ended_is_told_of_once(gate: threading.Event) -> None:
    events = Events()
    sup = TaskSupervisor.start(on_event=events)
    first, second = hanging(sup, gate, shutdown=0), hanging(sup, gate, shutdown=0)
    sup.terminate_child(first.ref)
    sup.stop(timeout=LIMIT)
    ended = [event for event in events.all if isinstance(event, ChildEnded)]
    assert [(event.ref, event.reason) for event in ended] == [(first.ref, Killed()), (second.ref, Killed())]
    assert second.outcome().reason == Shutdown()


def test_of_many_at_once_no_more_run_than_are_allowed(gate: threading.Event) -> None:
    sup, refused, ready = TaskSupervisor.start(max_children=5), [], threading.Barrier(8)

    def want() -> None:
        ready.wait(LIMIT)
        for _ in range(3):
            try:
                sup.run(wait_on, gate)
            except MaxChildren as error:
                refused.append(error.limit)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert (refused, sup.count_children().active) == ([5] * 19, 5)


def test_functions_that_are_restarted_take_a_place_until_they_are_forgotten(gate: threading.Event) -> None:
    sup = TaskSupervisor.start(max_children=1)
    ref = sup.start_child(wait_on, gate, restart="permanent", shutdown=0)
    with pytest.raises(MaxChildren):
        sup.run(abs, -1)
    with pytest.raises(MaxChildren):
        sup.start_child(abs, -1)
    sup.terminate_child(ref)
    sup.start_child(abs, -1).join(LIMIT)
    sup.count_children()
    assert sup.run(abs, -1).result(LIMIT) == 1


@pytest.mark.backend("threads")
def test_a_task_for_which_there_is_no_thread_takes_no_place() -> None:
    sup = TaskSupervisor.start(max_children=1)
    set_thread_limit(1)
    try:
        for _ in range(2):
            with pytest.raises(ChildStartError, match="limit of set_thread_limit"):
                sup.run(abs, -1)
            with pytest.raises(ChildStartError, match="limit of set_thread_limit"):
                sup.start_child(abs, -1)
    finally:
        set_thread_limit(None)
    assert sup.run(abs, -1).result(LIMIT) == 1


def test_a_supervisor_that_is_ending_starts_no_task(gate: threading.Event) -> None:
    sup = TaskSupervisor.start(name="sup")
    task = hanging(sup, gate, shutdown=LIMIT)
    sup.stop(block=False)
    with pytest.raises(TaskEnded):
        task.result(LIMIT)
    with pytest.raises(ActorDead, match="sup is ending"):
        sup.run(abs, -1)
    gate.set()
    sup.join(LIMIT)
    with pytest.raises(ActorDead, match="sup has ended"):
        sup.run(abs, -1)


def test_a_handle_does_not_keep_what_its_function_was_given() -> None:
    class Big:
        pass

    sup, big = TaskSupervisor.start(), Big()
    gone = weakref.ref(big)
    task = sup.run(lambda thing: type(thing).__name__, big)
    del big
    assert (task.result(LIMIT), gone()) == ("Big", None)


@pytest.mark.backend("threads")
def test_tasks_one_after_another_share_a_thread_which_ends_with_their_supervisor() -> None:
    sup = TaskSupervisor.start()
    threads = []
    for _ in range(3):
        task = sup.run(threading.current_thread)
        task.ref.join(LIMIT)
        threads.append(task.result(LIMIT))
    failed = sup.run_nolink(fail)
    failed.ref.join(LIMIT)
    sup.stop(timeout=LIMIT)
    assert (len(set(threads)), threads[0].is_alive()) == (1, False)


@pytest.mark.backend("threads")
def test_a_thread_that_was_abandoned_runs_no_other_task(gate: threading.Event) -> None:
    sup = TaskSupervisor.start()
    hanging(sup, gate).shutdown("brutal_kill")
    (thread,) = abandoned()
    gate.set()
    thread.join(LIMIT)
    assert (thread.is_alive(), sup.run(threading.current_thread).result(LIMIT) is thread) == (False, False)


class Tasks(RuleBasedStateMachine):
    """What runs is what was started and has not ended, in that order; and never more than are allowed."""

    MOST = 3

    @initialize()
    def start(self) -> None:
        self.sup = TaskSupervisor.start(max_children=self.MOST)
        self.running: list[tuple[Task[Any], threading.Event]] = []

    @rule()
    def run(self) -> None:
        gate = threading.Event()
        if len(self.running) == self.MOST:
            with pytest.raises(MaxChildren):
                self.sup.run(gate.wait, LIMIT)
        else:
            self.running.append((self.sup.run(gate.wait, LIMIT, shutdown=0), gate))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def let_end(self, data: st.DataObject) -> None:
        task, gate = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        gate.set()
        assert task.result(LIMIT) is True

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["shut down", "terminate", "kill"]))
    def end(self, data: st.DataObject, how: str) -> None:
        task, gate = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if how == "shut down":
            task.shutdown("brutal_kill")
        elif how == "terminate":
            self.sup.terminate_child(task.ref)
        else:
            task.ref.kill()
            task.ref.join(LIMIT)
        assert task.poll(0) is not None
        gate.set()

    @invariant()
    def known(self) -> None:
        assert [info.ref for info in self.sup.which_children()] == [task.ref for task, _ in self.running]

    def teardown(self) -> None:
        for _, gate in self.running:
            gate.set()
        self.sup.stop(timeout=LIMIT)
        assert all(task.done() for task, _ in self.running)


@pytest.mark.backend("threads")
def test_what_runs_is_known() -> None:
    run_state_machine_as_test(Tasks, settings=settings(max_examples=30, stateful_step_count=15, deadline=None))
