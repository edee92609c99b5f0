"""Supervisors that are killed or signalled, and what reaches them that they did not ask for."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import (
    Crash,
    Killed,
    SelfAsk,
    Shutdown,
    offload,
)
from beamlens_supervision import (
    ChildEnded,
    ChildSpec,
    ChildStartError,
    Supervisor,
)
from beamlens_supervision.parent import Request
from tests.supervision.helpers import LIMIT, Boom, Events, Worker, crash, refs, worker


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


def test_a_stray_message_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    sup = Supervisor.start([worker("a")])
    sup.tell("hello")
    assert sup.count_children().active == 1
    assert "dropped a message that is none of a supervisor's: 'hello'" in caplog.text


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
