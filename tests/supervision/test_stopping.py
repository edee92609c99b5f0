"""How a supervisor ends its children, and itself."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from beamlens_actors import (
    ActorDead,
    Killed,
    Normal,
    SelfAsk,
    Shutdown,
    abandoned,
    offload,
)
from beamlens_actors.testing import FakeClock, Probe
from beamlens_supervision import (
    ChildEnded,
    ChildSpec,
    Supervisor,
)
from tests.supervision.helpers import LIMIT, Boom, Events, Worker, hang, left_on, worker


class Stubborn(Worker):
    """Hangs in its on_terminate until its gate opens."""

    def __init__(self, gate: threading.Event, entered: threading.Event) -> None:
        super().__init__("stubborn")
        self.gate = gate
        self.entered = entered

    def on_terminate(self, reason: Any) -> None:
        self.entered.set()
        offload(self.gate.wait, LIMIT)


def test_a_child_that_obeys_ends_with_shutdown() -> None:
    events = Events()
    Supervisor.start([worker("a")], on_event=events).stop(timeout=LIMIT)
    ended = events.wait_for(ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert ended.reason == Shutdown()


def test_a_child_that_does_not_end_in_its_time_is_killed_and_the_others_end_as_asked(
    gate: threading.Event,
) -> None:
    events = Events()
    with FakeClock() as clock:
        sup = Supervisor.start([worker("a"), worker("slow", shutdown=2.0), worker("c")], on_event=events)
        hang(sup.child("slow"), gate)
        stopped = sup.stop(block=False)
        assert events.wait_for(ChildEnded).child_id == "c"
        clock.wait_for_waiters(1)
        clock.advance(2.0)
        assert stopped.get(timeout=None) is True
    reasons = {event.child_id: event.reason for event in events.all if isinstance(event, ChildEnded)}
    assert reasons == {"c": Shutdown(), "slow": Killed(), "a": Shutdown()}


def test_a_brutally_killed_child_is_not_asked(gate: threading.Event) -> None:
    events = Events()
    sup = Supervisor.start([worker("a", shutdown="brutal_kill")], on_event=events)
    hang(sup.child("a"), gate)
    sup.stop(timeout=LIMIT)
    ended = events.wait_for(ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert ended.reason == Killed()


def test_infinity_waits_as_long_as_needed(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = Supervisor.start([worker("a", shutdown=math.inf)])
        child = sup.child("a")
        hang(child, gate)
        stopped = sup.stop(block=False)
        clock.advance(1_000_000)
        assert not stopped.done()
        gate.set()
        assert stopped.get(timeout=None) is True
        assert child is not None
        assert child.join() == Shutdown()


def test_a_child_that_hangs_in_its_terminate_hook_is_abandoned_in_its_time(backend: str, gate: threading.Event) -> None:
    entered = threading.Event()
    with FakeClock() as clock:
        sup = Supervisor.start([ChildSpec("a", Stubborn.start, (gate, entered), shutdown=1.0)])
        stopped = sup.stop(block=False)
        assert entered.wait(LIMIT)
        clock.wait_for_waiters(1)
        clock.advance(1.0)
        assert stopped.get(timeout=None) is True
    assert len(abandoned()) == left_on(backend, 1)


def test_a_brutal_kill_abandons_an_idle_child_that_hangs_in_its_terminate_hook(
    backend: str, gate: threading.Event
) -> None:
    entered = threading.Event()
    sup = Supervisor.start([ChildSpec("a", Stubborn.start, (gate, entered), shutdown="brutal_kill")])
    assert sup.stop(timeout=LIMIT) is True
    assert len(abandoned()) == left_on(backend, 1)


def test_a_brutal_kill_lets_an_idle_child_run_its_terminate_hook() -> None:
    log: list[str] = []
    sup = Supervisor.start([worker(str(n), log, shutdown="brutal_kill") for n in range(20)])
    log.clear()
    sup.stop(timeout=LIMIT)
    assert log == [f"-{n}" for n in reversed(range(20))]
    assert abandoned() == []


def test_a_child_that_unlinked_itself_cannot_hang_its_supervisor() -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    assert child is not None
    child.ask(("do", lambda actor: actor.unlink(sup)))
    sup.stop(timeout=LIMIT)
    assert child.join() == Shutdown()


def test_an_odd_reason_while_stopping_is_logged(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    hang(child, gate)
    assert child is not None
    child.stop(Normal(), block=False)
    stopped = sup.stop(block=False)
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
    assert "child 'a' ended with Normal() when stopped" in caplog.text


def test_stopping_a_dead_supervisor_is_false() -> None:
    sup = Supervisor.start([])
    sup.stop(timeout=LIMIT)
    assert sup.stop(timeout=LIMIT) is False


def test_a_supervisor_cannot_stop_itself_and_wait() -> None:
    errors: list[Any] = []

    def on_event(event: Any) -> None:
        try:
            event.supervisor.stop()
        except SelfAsk as error:
            errors.append(error)

    Supervisor.start([worker("a")], on_event=on_event)
    assert len(errors) == 1


def test_asking_a_dead_supervisor_raises_actor_dead() -> None:
    sup = Supervisor.start([])
    sup.stop(timeout=LIMIT)
    with pytest.raises(ActorDead):
        sup.which_children()


def test_the_end_of_a_supervisor_is_seen_after_the_ends_of_its_children() -> None:
    log: list[str] = []
    sup = Supervisor.start([worker("a", log)])
    probe = Probe.start()
    probe.watch(sup)
    sup.stop(Shutdown("bye"), timeout=LIMIT)
    down = probe.expect()
    assert (down.reason, log) == (Shutdown("bye"), ["+a", "-a"])


def test_a_hundred_children_start_and_stop_in_order() -> None:
    log: list[str] = []
    sup = Supervisor.start([worker(str(number), log) for number in range(100)])
    sup.stop(timeout=LIMIT)
    assert log == [f"+{n}" for n in range(100)] + [f"-{n}" for n in reversed(range(100))]


def test_expected_reasons_are_not_logged(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    specs = [worker("a"), worker("brutal", shutdown="brutal_kill"), worker("t", restart="transient")]
    sup = Supervisor.start(specs)
    hang(sup.child("brutal"), gate)
    transient = sup.child("t")
    hang(transient, gate)
    assert transient is not None
    transient.stop(Normal(), block=False)
    stopped = sup.stop(block=False)
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
    assert "when stopped" not in caplog.text


def test_a_child_that_crashes_while_it_is_stopped_is_logged_and_the_others_end(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    def crash_later(_actor: Any) -> None:
        entered.set()
        offload(gate.wait, LIMIT)
        raise Boom

    entered = threading.Event()
    log: list[str] = []
    sup = Supervisor.start([worker("a", log), worker("b", log)])
    child = sup.child("b")
    assert child is not None
    child.tell(("do", crash_later))
    assert entered.wait(LIMIT)
    stopped = sup.stop(block=False)
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
    assert (sup.join(), log) == (Shutdown(), ["+a", "+b", "-b", "-a"])
    assert "child 'b' ended with Crash(exception=Boom()) when stopped" in caplog.text


def test_mixed_ways_to_stop_are_each_honoured_one_after_the_other(gate: threading.Event) -> None:
    """Static children end in reverse, so each is given its time when it is its turn."""
    events = Events()
    specs = [worker("infinite", shutdown=math.inf), worker("timed", shutdown=1.0), worker("zero", shutdown=0)]
    with FakeClock() as clock:
        sup = Supervisor.start([*specs, worker("brutal", shutdown="brutal_kill"), worker("polite")], on_event=events)
        for name in ("infinite", "timed", "zero", "brutal"):
            hang(sup.child(name), gate)
        stopped = sup.stop(block=False)
        clock.wait_for_waiters(1, within=1.0)
        clock.advance(1.0)
        events.wait_for_child("timed", ChildEnded)
        gate.set()
        assert stopped.get(timeout=LIMIT) is True
    ended = [(event.child_id, event.reason) for event in events.all if isinstance(event, ChildEnded)]
    killed = [("brutal", Killed()), ("zero", Killed()), ("timed", Killed())]
    assert ended == [("polite", Shutdown()), *killed, ("infinite", Shutdown())]
