"""Supervisors and children on different backends, in one tree."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Actor, Crash, Killed, Shutdown, StartTimeout, offload
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    ChildEnded,
    ChildSpec,
    DynamicSupervisor,
    PartitionSupervisor,
    Supervisor,
    TaskSupervisor,
)
from tests.supervision.helpers import LIMIT, Events, Worker, crash, hang, refs, states, worker
from tests.supervision.task_helpers import wait_on

pytestmark = pytest.mark.backend("threads")

MIXED = pytest.mark.parametrize(
    ("above", "below"), [("threads", "greenlets"), ("greenlets", "threads")], ids=["greenlets-below", "threads-below"]
)


def backend_of(ref: Any) -> str:
    name: str = ref._cell.backend.name
    return name


def on(below: str, name: str, log: list[Any] | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(name, Worker.options(backend=below).start, (name, log), **options)


@pytest.mark.parametrize("backend_name", ["threads", "greenlets"])
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_a_supervisor_runs_where_it_is_told_and_its_children_too(kind: Any, backend_name: str) -> None:
    sup = kind.start(backend=backend_name)
    child = sup.start_child(worker("a"))
    assert (backend_of(sup), backend_of(child)) == (backend_name, backend_name)


@pytest.mark.parametrize("backend_name", ["threads", "greenlets"])
def test_a_task_supervisor_too(backend_name: str, gate: threading.Event) -> None:
    sup = TaskSupervisor.start(backend=backend_name)
    task = sup.run(wait_on, gate)
    assert (backend_of(sup), backend_of(task.ref)) == (backend_name, backend_name)


def test_a_partitioned_supervisor_too() -> None:
    sup = PartitionSupervisor.start(worker("a"), 2, backend="greenlets")
    assert (backend_of(sup), backend_of(sup.route(1))) == ("greenlets", "greenlets")


@MIXED
@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        ("one_for_one", ["-b", "+b"]),
        ("one_for_all", ["-b", "-c", "-a", "+a", "+b", "+c"]),
        ("rest_for_one", ["-b", "-c", "+b", "+c"]),
    ],
)
def test_children_of_the_other_backend_restart_in_order_and_stay_on_it(
    above: str, below: str, strategy: Any, log: list[str]
) -> None:
    seen: list[str] = []
    sup = Supervisor.start([on(below, name, seen) for name in "abc"], strategy=strategy, backend=above)
    seen.clear()
    crash(sup.child("b"))
    children = refs(sup.which_children())
    assert (seen, {backend_of(ref) for ref in children.values()}) == (log, {below})
    seen.clear()
    sup.stop(timeout=LIMIT)
    assert seen == ["-c", "-b", "-a"]


@MIXED
def test_a_child_of_the_other_backend_that_does_not_end_is_killed_in_its_time(
    above: str, below: str, gate: threading.Event
) -> None:
    events = Events()
    with FakeClock() as clock:
        sup = Supervisor.start([on(below, "slow", shutdown=2.0), on(below, "b")], backend=above, on_event=events)
        hang(sup.child("slow"), gate)
        stopped = sup.stop(block=False)
        clock.wait_for_waiters(1, within=2.0)
        clock.advance(2.0)
        assert stopped.get(timeout=None) is True
    reasons = [event.reason for event in events.all if isinstance(event, ChildEnded)]
    assert reasons == [Shutdown(), Killed()]


@MIXED
def test_a_killed_supervisor_takes_children_of_the_other_backend_along(above: str, below: str) -> None:
    inner = Supervisor.child_spec("inner", [on(below, "leaf")], backend=below)
    sup = Supervisor.start([inner, on(below, "a")], backend=above)
    sub: Any = sup.child("inner")
    ends = [sub, sub.child("leaf"), sup.child("a")]
    sup.kill()
    assert [ref.join(LIMIT) for ref in ends] == [Killed()] * 3


@MIXED
def test_a_supervisor_that_gives_up_is_restarted_by_one_of_the_other_backend(above: str, below: str) -> None:
    inner = Supervisor.child_spec("inner", [worker("leaf")], max_restarts=0, backend=below)
    sup = Supervisor.start([inner], backend=above)
    sub: Any = sup.child("inner")
    crash(sub.child("leaf"))
    assert sub.join(LIMIT) == Shutdown()
    again: Any = sup.child("inner")
    assert (backend_of(again), states(again.which_children())) == (below, {"leaf": "running"})


@MIXED
def test_tasks_of_the_other_backend_end_with_the_actor_that_ran_them(above: str, below: str) -> None:
    class Runner(Actor):
        def on_receive(self, message: Any) -> Any:
            return message()

    tasks, runner = TaskSupervisor.start(backend=below), Runner.options(backend=above).start()
    gate = threading.Event()
    task = runner.ask(lambda: tasks.run(offload, gate.wait, LIMIT, shutdown="brutal_kill"))
    with pytest.raises(ZeroDivisionError):
        runner.ask(lambda: 1 // 0)
    assert isinstance(task.outcome().reason, Crash)
    assert tasks.count_children().specs == 0
    gate.set()


def test_the_hub_goes_on_while_a_supervisor_on_it_starts_a_slow_thread(gate: threading.Event) -> None:
    class Slow(Worker):
        def on_start(self) -> None:
            entered.set()
            gate.wait(LIMIT)

    entered = threading.Event()
    other = Worker.options(backend="greenlets").start("other")
    sup = DynamicSupervisor.start(backend="greenlets")
    spec = ChildSpec("slow", Slow.options(backend="threads").start)
    starter = threading.Thread(target=sup.start_child, args=(spec,))
    starter.start()
    assert entered.wait(LIMIT)
    assert other.ask("name?", timeout=LIMIT) == "other"
    gate.set()
    starter.join(LIMIT)
    assert states(sup.which_children()) == {"slow": "running"}


@pytest.mark.parametrize("above", ["threads", "greenlets"])
@pytest.mark.parametrize("below", ["threads", "greenlets"])
def test_a_supervisor_killed_while_a_child_is_in_its_on_start_leaves_no_child(above: str, below: str) -> None:
    class Slow(Worker):
        trap_exit = True  # so that no link ends it

        def on_start(self) -> None:
            begun.append(self.actor_ref)
            entered.set()
            offload(gate.wait, LIMIT)

    begun: list[Any] = []
    entered, gate = threading.Event(), threading.Event()
    spec = ChildSpec("slow", Slow.options(backend=below).start)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            Supervisor.options(start_timeout=1.0, backend=above).start([worker("a"), spec])
        except StartTimeout as error:
            errors.append(error)

    with FakeClock() as clock:
        thread = threading.Thread(target=start)
        thread.start()
        assert entered.wait(LIMIT)
        clock.wait_for_waiters(1, within=1.0)
        clock.advance(1.0)
        thread.join(LIMIT)
        gate.set()
    assert (len(errors), begun[0].join(LIMIT)) == (1, Killed())
