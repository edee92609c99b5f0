"""How a supervisor ends its children, and itself."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from beamlens_actors import (
    ActorDead,
    Crash,
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
    ChildStartError,
    Supervisor,
)
from beamlens_supervision.parent import Request
from tests.supervision.helpers import LIMIT, Boom, Events, Worker, crash, hang, left_on, refs, worker


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


def test_a_child_that_asks_its_supervisor_while_it_starts_is_refused() -> None:
    class Curious(Worker):
        def on_start(self) -> None:
            self.sup.which_children()

        def __init__(self, sup: Any) -> None:
            super().__init__()
            self.sup = sup

    sup = Supervisor.start([])
    with pytest.raises(ChildStartError) as caught:
        sup.start_child(ChildSpec("c", Curious.start, (sup,)))
    assert isinstance(caught.value.reason, SelfAsk)


def test_the_children_of_a_killed_idle_supervisor_end_too() -> None:
    sup = Supervisor.start([worker("a"), worker("b")])
    children = refs(sup.which_children())
    sup.kill()
    assert [children[name].join(LIMIT) for name in "ab"] == [Killed(), Killed()]


def test_the_children_of_a_supervisor_killed_while_busy_end_too(gate: threading.Event) -> None:
    entered = threading.Event()

    def slow() -> Any:
        entered.set()
        offload(gate.wait, LIMIT)
        raise Boom

    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    sup.tell(Request("start_child", (ChildSpec("slow", slow),)))
    assert entered.wait(LIMIT)
    sup.kill()
    assert child is not None
    assert child.join(LIMIT) == Killed()


def test_a_sub_supervisor_ends_with_its_killed_parent_and_so_do_its_children() -> None:
    inner = ChildSpec("inner", Supervisor.start, ([worker("leaf")],), type="supervisor")
    sup = Supervisor.start([inner])
    sub = sup.child("inner")
    assert sub is not None
    leaf = sub.child("leaf")  # type: ignore[attr-defined]
    sup.kill()
    assert (sub.join(LIMIT), leaf.join(LIMIT)) == (Killed(), Killed())


def test_a_sub_supervisor_ends_with_its_parent_that_was_killed_while_busy(gate: threading.Event) -> None:
    entered = threading.Event()

    def slow() -> Any:
        entered.set()
        offload(gate.wait, LIMIT)
        raise Boom

    inner = ChildSpec("inner", Supervisor.start, ([worker("leaf")],), type="supervisor")
    sup = Supervisor.start([inner])
    sub = sup.child("inner")
    assert sub is not None
    leaf = sub.child("leaf")  # type: ignore[attr-defined]
    sup.tell(Request("start_child", (ChildSpec("slow", slow),)))
    assert entered.wait(LIMIT)
    sup.kill()
    assert (sub.join(LIMIT), leaf.join(LIMIT)) == (Killed(), Killed())


def test_an_exit_signal_from_a_plain_thread_ends_a_supervisor_and_its_children() -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    sup.exit(Shutdown("enough"))
    assert child is not None
    assert (sup.join(LIMIT), child.join(LIMIT)) == (Shutdown("enough"), Shutdown())


def test_an_exit_signal_from_a_stranger_is_ignored() -> None:
    sup = Supervisor.start([])
    stranger = Worker.start()
    stranger.ask(("do", lambda _actor: sup.exit(Shutdown())))
    assert sup.count_children().specs == 0


def test_asking_a_dead_supervisor_raises_actor_dead() -> None:
    sup = Supervisor.start([])
    sup.stop(timeout=LIMIT)
    with pytest.raises(ActorDead):
        sup.which_children()


def test_a_stray_message_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    sup = Supervisor.start([worker("a")])
    sup.tell("hello")
    assert sup.count_children().active == 1
    assert "dropped a message that is none of a supervisor's: 'hello'" in caplog.text


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


def test_an_unexpected_end_of_on_event_is_logged_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    def on_event(_event: Any) -> None:
        raise Boom

    sup = Supervisor.start([worker("a")], on_event=on_event)
    assert sup.count_children().active == 1
    assert "on_event of" in caplog.text


def test_a_child_that_crashed_before_it_could_be_watched_keeps_its_true_reason() -> None:
    events = Events()

    def start() -> Any:
        ref = Worker.start("quick")
        crash(ref)
        return ref

    sup = Supervisor.start([ChildSpec("quick", start, restart="temporary")], on_event=events)
    ended = events.wait_for(ChildEnded)
    assert isinstance(ended, ChildEnded)
    assert isinstance(ended.reason, Crash)
    assert sup.which_children() == []
