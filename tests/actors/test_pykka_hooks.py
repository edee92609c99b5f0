from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

import pykka
import pytest
from pykka import messages

from beamlens_actors import Actor, ActorRef, Crash, Normal, current_actor
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


class Hooked(Actor):
    """Writes down where each hook runs."""

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append(("on_start", current_actor(), threading.current_thread().name))

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        self.log.append(message)
        return message

    def on_stop(self) -> None:
        self.log.append(("on_stop", current_actor(), threading.current_thread().name))

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.log.append(("on_failure", current_actor(), threading.current_thread().name))
        self.log.append((exception_type, exception_value, traceback))


@pytest.fixture
def thread(backend: str) -> str:
    return {"threads": "hooked", "greenlets": "beamlens-hub"}[backend]


def start(log: list[Any]) -> Any:
    return Hooked.options(name="hooked").start(log)


# -- the hooks -----------------------------------------------------------------------------------------------


def test_on_start_and_on_stop_run_in_the_actor_around_its_messages(thread: str) -> None:
    log: list[Any] = []
    ref = start(log)
    ref.ask("message")
    ref.stop()
    assert log == [("on_start", ref, thread), "message", ("on_stop", ref, thread)]


def test_on_failure_runs_in_the_actor_with_the_exception_and_instead_of_on_stop(thread: str) -> None:
    log: list[Any] = []
    ref, error = start(log), Refused("broken")
    ref.tell(error)
    ref.join(LIMIT)
    called, (kind, value, where) = log[1:]
    assert called == ("on_failure", ref, thread)
    assert (kind, value) == (Refused, error)
    assert traceback.extract_tb(where)[-1].name == "on_receive"


def test_messages_behind_a_crash_are_not_handled(gate: threading.Event) -> None:
    log: list[Any] = []
    ref = Recorder.start(log)
    busy(ref, gate)
    ref.tell(("raise", Refused()))
    late = ref.ask("late", block=False)
    gate.set()
    with pytest.raises(pykka.ActorDeadError):
        late.get(timeout=LIMIT)
    assert "late" not in log


def test_crash_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    ref, error = start([]), Refused("broken")
    ref.tell(error)
    ref.join(LIMIT)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "hooked crashed"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
def test_exception_in_a_last_hook_is_logged_and_the_actor_ends(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Hooked):
        def on_stop(self) -> None:
            raise Refused("in the hook")

        def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
            raise Refused("in the hook")

    ref = Fails.options(name="hooked").start([])
    ref.tell(Refused("broken") if hook == "on_failure" else messages._ActorStop())
    ref.join(LIMIT)
    assert f"{hook} of hooked failed" in caplog.text
    assert "in the hook" in caplog.text
    assert pykka.ActorRegistry.get_all() == []


def test_hooks_of_the_base_do_nothing() -> None:
    ref = Actor.start()
    assert ref.stop() is True
    assert ref.join() == Normal()


def test_default_on_receive_warns_with_actor_and_message_and_answers_none(caplog: pytest.LogCaptureFixture) -> None:
    ref = Actor.options(name="deaf").start()
    assert ref.ask({"what": 1}) is None
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == "Unexpected message received by Actor 'deaf': {'what': 1}"
    assert record.name == "pykka"


def test_messages_of_any_type_are_received_as_they_are() -> None:
    log: list[Any] = []
    ref = start(log)
    sent = [None, 0, "text", b"bytes", [1], {"a": 1}, (1, 2), Ellipsis, object()]
    for message in sent:
        assert ref.ask(message) is message
    assert log[1:] == sent


# -- stopping ------------------------------------------------------------------------------------------------


def test_stop_of_oneself_lets_the_current_message_end() -> None:
    log: list[Any] = []

    class Stops(Hooked):
        def on_receive(self, message: Any) -> Any:
            self.stop()
            self.log.append("after stop")
            return "answer"

    ref = Stops.start(log)
    assert ref.ask("x", timeout=LIMIT) == "answer"
    ref.join(LIMIT)
    assert log[1] == "after stop"
    assert log[2][0] == "on_stop"


def test_stop_of_oneself_in_on_stop_is_harmless() -> None:
    class Again(Hooked):
        def on_stop(self) -> None:
            self.stop()
            self.log.append("on_stop")

    log: list[Any] = []
    ref = Again.start(log)
    ref.stop()
    assert log[1:] == ["on_stop"]
    assert ref.join(LIMIT) == Normal()


def test_actor_may_stop_others_in_on_stop() -> None:
    class Parent(Actor):
        def on_start(self) -> None:
            self.children = [Recorder.start(), Recorder.start()]

        def on_receive(self, message: Any) -> Any:
            return self.children

        def on_stop(self) -> None:
            for child in self.children:
                child.stop()

    ref = Parent.start()
    children = ref.ask("children")
    ref.stop()
    assert [child.is_alive() for child in children] == [False, False]


# -- refs ----------------------------------------------------------------------------------------------------


def test_ref_is_one_object_inside_and_outside_and_equal_to_itself_only() -> None:
    ref, other = Recorder.start(), Recorder.start()
    assert ref.ask(("do", lambda actor: actor.actor_ref)) is ref
    assert ref != other
    assert {ref, other, ref} == {other, ref}
    assert hash(ref) == hash(ref)


def test_ref_names_its_class_and_shows_it() -> None:
    ref = Recorder.options(name="bob").start()
    assert ref.actor_class is Recorder
    assert (repr(ref), str(ref)) == ("<ActorRef for Recorder 'bob'>", "Recorder 'bob'")
    assert isinstance(ref, ActorRef)


def test_ref_of_the_dead_can_still_be_read() -> None:
    ref = Recorder.options(name="bob").start()
    urn = ref.actor_urn
    ref.stop()
    assert (ref.is_alive(), ref.actor_urn, str(ref), ref.actor_class) == (False, urn, "Recorder 'bob'", Recorder)


def test_tell_returns_none_and_ask_the_answer() -> None:
    ref = Recorder.start()
    assert ref.tell("x") is None
    assert ref.ask("y") == "y"


def test_stop_returns_true_while_it_is_being_stopped(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    first, second = ref.stop(block=False), ref.stop(block=False)
    gate.set()
    assert [first.get(timeout=LIMIT), second.get(timeout=LIMIT)] == [True, True]
    assert ref.stop() is False


def test_dead_actor_is_never_alive_again() -> None:
    ref, error = Recorder.start(), Refused()
    ref.tell(("raise", error))
    assert ref.join(LIMIT) == Crash(error)
    assert [ref.is_alive(), ref.kill(), ref.stop()] == [False, False, False]
