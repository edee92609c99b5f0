"""Children on threads that will not end: a thread cannot be killed, so it is left behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import ActorDead, Killed, Registry, Shutdown, abandoned
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
)
from tests.supervision.helpers import LIMIT, Events, Worker, hang, states, worker

pytestmark = pytest.mark.backend("threads")


class Deaf(Worker):
    """Hangs in its on_terminate until its gate opens."""

    def __init__(self, gate: threading.Event, ending: threading.Semaphore) -> None:
        super().__init__("deaf")
        self.gate = gate
        self.ending = ending

    def on_terminate(self, reason: Any) -> None:
        self.ending.release()
        self.gate.wait(LIMIT)


def named(name: str, **options: Any) -> ChildSpec:
    return ChildSpec(name, Worker.options(name=name).start, (name,), **options)


def test_the_shutdown_time_is_kept_whatever_the_thread_does(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = Supervisor.start([named("stuck", shutdown=3.0)])
        hang(sup.child("stuck"), gate)
        stopped = sup.stop(block=False)
        clock.wait_for_waiters(1, within=3.0)
        clock.advance(2.9)
        assert not stopped.done()
        clock.advance(0.1)
        assert stopped.get(timeout=None) is True
        assert clock.monotonic() == 1003.0


def test_the_thread_is_counted_and_named_until_it_ends(gate: threading.Event) -> None:
    sup = Supervisor.start([named("stuck", shutdown="brutal_kill")])
    hang(sup.child("stuck"), gate)
    sup.terminate_child("stuck")
    (thread,) = abandoned()
    assert thread.name == "stuck"
    gate.set()
    thread.join(LIMIT)
    assert abandoned() == []


def test_its_place_is_taken_by_a_replacement_that_runs(gate: threading.Event) -> None:
    events = Events()
    sup = Supervisor.start([named("stuck")], on_event=events)
    first: Any = sup.child("stuck")
    hang(first, gate)
    first.kill()
    events.wait_for(ChildRestarted)
    second: Any = sup.child("stuck")
    assert (second.ask("name?"), len(abandoned())) == ("stuck", 1)
    ended = [event for event in events.all if isinstance(event, ChildEnded)]
    assert [(event.ref, event.reason) for event in ended] == [(first, Killed())]


def test_the_replacement_takes_the_name_that_the_thread_held(gate: threading.Event) -> None:
    registry = Registry()
    spec = ChildSpec("stuck", Worker.options(register=(registry, "key")).start, shutdown="brutal_kill")
    sup = Supervisor.start([spec])
    hang(registry.lookup("key"), gate)
    sup.terminate_child("stuck")
    sup.restart_child("stuck")
    assert registry.lookup("key") is sup.child("stuck")


def test_its_late_replies_are_dropped_and_nothing_more_reaches_it(gate: threading.Event) -> None:
    handled: list[str] = []
    entered = threading.Event()

    def answer(_actor: Any) -> str:
        entered.set()
        gate.wait(LIMIT)
        return "too late"

    sup = Supervisor.start([named("stuck", shutdown="brutal_kill")])
    child: Any = sup.child("stuck")
    late = child.ask(("do", answer), block=False)
    assert entered.wait(LIMIT)
    waiting = child.ask(("do", lambda _actor: handled.append("waiting")), block=False)
    sup.terminate_child("stuck")
    (thread,) = abandoned()
    gate.set()
    thread.join(LIMIT)
    for future in (late, waiting):
        with pytest.raises(ActorDead, match="has ended: Killed"):
            future.get(timeout=LIMIT)
    with pytest.raises(ActorDead):
        child.tell("hello")
    assert handled == []


def test_its_end_is_told_once_though_its_thread_comes_back(gate: threading.Event) -> None:
    events = Events()
    sup = Supervisor.start([named("stuck")], on_event=events, max_restarts=1)
    child: Any = sup.child("stuck")
    hang(child, gate)
    child.kill()
    events.wait_for(ChildRestarted)
    (thread,) = abandoned()
    gate.set()
    thread.join(LIMIT)
    assert states(sup.which_children()) == {"stuck": "running"}
    assert [event.child_id for event in events.all if isinstance(event, ChildEnded)] == ["stuck"]


def test_many_that_hang_while_they_end_take_one_grace_time_together(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup, ending = DynamicSupervisor.start(), threading.Semaphore(0)
        spec = ChildSpec("deaf", Deaf.start, (gate, ending), shutdown="brutal_kill")
        children = [sup.start_child(spec) for _ in range(9)]
        stopped = sup.stop(block=False)
        for _ in children:
            assert ending.acquire(timeout=LIMIT)
        clock.wait_for_waiters(1, within=1.0)
        clock.advance(0.2)
        assert stopped.get(timeout=LIMIT) is True
        assert [child.join(LIMIT) for child in children] == [Killed()] * 9
    assert len(abandoned()) == 9


def test_a_supervisor_that_is_abandoned_itself_still_ends_its_children(gate: threading.Event) -> None:
    """Its own child hangs for longer than its parent gives it."""
    with FakeClock() as clock:
        inner = Supervisor.child_spec("inner", [worker("a"), worker("stuck", shutdown=60.0)], shutdown=1.0)
        sup = Supervisor.start([inner])
        sub: Any = sup.child("inner")
        leaf, stuck = sub.child("a"), sub.child("stuck")
        hang(stuck, gate)
        stopped = sup.stop(block=False)
        clock.wait_for_waiters(2)
        clock.advance(1.0)
        assert stopped.get(timeout=LIMIT) is True
        assert (sub.join(LIMIT), leaf.join(LIMIT)) == (Killed(), Killed())
        gate.set()
        assert stuck.join(LIMIT) == Shutdown()
