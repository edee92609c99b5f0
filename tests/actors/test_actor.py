from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pykka
import pytest

from beamlens_actors import (
    Actor,
    ActorCrashed,
    ActorDead,
    AlreadyRegistered,
    Crash,
    Down,
    ExitReason,
    InvalidOption,
    Killed,
    MailboxInUse,
    Normal,
    QueueMailbox,
    Registry,
    Shutdown,
    StartTimeout,
    UnknownBackend,
    current_actor,
    offload,
    set_default_backend,
)
from beamlens_actors.testing import FakeClock, Probe
from tests.actors.helpers import LIMIT, Recorder, Refused, busy, gone


def test_start_returns_after_on_start() -> None:
    ref = Recorder.start()
    assert ref.ask("log") == ["start"]


def test_init_runs_in_the_starter_and_on_start_in_the_actor(backend: str) -> None:
    threads = {}

    class Where(Actor):
        def __init__(self) -> None:
            super().__init__()
            threads["init"] = threading.current_thread()
            assert self.actor_ref.is_alive()

        def on_start(self) -> None:
            threads["start"] = threading.current_thread()

    Where.options(name="where").start()
    assert threads["init"] is threading.current_thread()
    assert threads["start"].name == {"threads": "where", "greenlets": "beamlens-hub"}[backend]
    assert threads["start"].daemon


def test_failing_init_reaches_the_starter_and_leaves_nothing() -> None:
    class Bad(Actor):
        def __init__(self) -> None:
            super().__init__()
            raise Refused

    with pytest.raises(Refused):
        Bad.start()
    assert pykka.ActorRegistry.get_all() == []


def test_ref_of_an_actor_whose_init_failed_is_dead() -> None:
    registry, refs = Registry(), []
    watcher = Probe.start()

    class Bad(Actor):
        def __init__(self) -> None:
            super().__init__()
            refs.append(self.actor_ref)
            registry.register("key", self.actor_ref)
            watcher.watch(self.actor_ref)
            raise Refused

    with pytest.raises(Refused):
        Bad.start()
    [ref] = refs
    assert not ref.is_alive()
    assert ref.join(LIMIT) == Killed()
    assert watcher.expect(Down, timeout=LIMIT).ref is ref
    assert registry.select() == []


def test_a_mailbox_in_use_is_refused_before_init_and_its_owner_lives_on() -> None:
    mailbox, made = QueueMailbox(), []
    holder = Recorder.options(mailbox=mailbox).start()

    class Second(Actor):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    with pytest.raises(MailboxInUse):
        Second.options(mailbox=mailbox).start()
    assert made == []
    assert pykka.ActorRegistry.get_all() == [holder]
    assert holder.ask("still here", timeout=LIMIT) == "still here"


class FailsToStart(Recorder):
    def __init__(self, error: BaseException, log: list[Any]) -> None:
        super().__init__(log)
        self.error = error

    def on_start(self) -> None:
        raise self.error


def test_failing_on_start_reaches_the_starter_after_on_terminate_and_leaves_nothing() -> None:
    log: list[Any] = []
    error = Refused()
    registry = Registry()
    with pytest.raises(Refused) as caught:
        FailsToStart.options(register=(registry, "key")).start(error, log)
    assert caught.value is error
    assert log == [("terminate", Crash(error))]
    assert pykka.ActorRegistry.get_all() == []
    assert registry.count() == 0


def test_system_exit_in_on_start_stays_in_the_actor() -> None:
    with pytest.raises(ActorCrashed) as caught:
        FailsToStart.start(SystemExit(3), [])
    assert isinstance(caught.value.cause, SystemExit)


class StartsSlowly(Recorder):
    def __init__(self, gate: threading.Event, log: list[Any]) -> None:
        super().__init__(log)
        self.gate = gate

    def on_start(self) -> None:
        self.gate.wait(LIMIT)


def test_start_timeout_kills_the_actor(gate: threading.Event) -> None:
    log: list[Any] = []
    with pytest.raises(StartTimeout, match=r"longer than 0\.01 s"):
        StartsSlowly.options(start_timeout=0.01).start(gate, log)
    assert pykka.ActorRegistry.get_all() == []
    gate.set()


def test_start_timeout_is_on_the_clock(gate: threading.Event) -> None:
    failed = threading.Event()

    def start() -> None:
        with pytest.raises(StartTimeout):
            StartsSlowly.options(start_timeout=30).start(gate, [])
        failed.set()

    with FakeClock() as clock:
        thread = threading.Thread(target=start)
        thread.start()
        clock.wait_for_waiters(1)
        clock.advance(29.9)
        assert not failed.is_set()
        clock.advance(0.1)
        assert failed.wait(LIMIT)
    thread.join(LIMIT)


def test_timeout_error_of_on_start_itself_is_not_taken_for_a_start_timeout() -> None:
    from beamlens_actors import AskTimeout

    with pytest.raises(AskTimeout, match="mine"):
        FailsToStart.start(AskTimeout("mine"), [])


def test_stop_in_on_start_lets_start_succeed_and_ends_it() -> None:
    class Brief(Recorder):
        def on_start(self) -> None:
            self.stop(Shutdown("done"))

    assert Brief.start().join(LIMIT) == Shutdown("done")


def test_hooks_of_a_normal_end_in_order() -> None:
    log: list[Any] = []
    ref = Recorder.start(log)
    assert ref.stop()
    assert log == ["start", "on_stop", ("terminate", Normal())]


def test_self_stop_ends_after_the_answer_with_the_given_reason() -> None:
    ref = Recorder.start()
    assert ref.ask(("stop", Shutdown(1))) == ("stop", Shutdown(1))
    assert ref.join(LIMIT) == Shutdown(1)


@pytest.mark.parametrize("asked", [True, False])
def test_exception_in_a_handler_ends_the_actor_told_or_asked(asked: bool) -> None:
    log: list[Any] = []
    ref = Recorder.start(log)
    error = Refused("x")
    if asked:
        with pytest.raises(Refused) as caught:
            ref.ask(("raise", error))
        assert caught.value is error
        assert not ref.is_alive()
    else:
        ref.tell(("raise", error))
    assert ref.join(LIMIT) == Crash(error)
    assert log == ["start", ("on_failure", Refused), ("terminate", Crash(error))]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_base_exception_ends_its_actor_only_and_the_asker_gets_actor_crashed(
    kind: type[BaseException],
) -> None:
    bystander = Recorder.start()
    ref = Recorder.start()
    error = kind()
    with pytest.raises(ActorCrashed) as caught:
        ref.ask(("raise", error))
    assert caught.value.cause is error
    assert ref.join(LIMIT) == Crash(error)
    assert bystander.ask("alive") == "alive"


def test_reply_error_answers_the_asker_and_the_actor_lives() -> None:
    ref = Recorder.start()
    error = Refused("no")
    with pytest.raises(Refused) as caught:
        ref.ask(("refuse", error))
    assert caught.value is error
    ref.tell(("refuse", error))
    assert ref.ask("log") == ["start"]


def test_failing_hooks_of_the_end_do_not_change_the_reason() -> None:
    class Clumsy(Recorder):
        def on_stop(self) -> None:
            raise Refused

        def on_terminate(self, reason: ExitReason) -> None:
            super().on_terminate(reason)
            raise SystemExit

    log: list[Any] = []
    ref = Clumsy.start(log)
    assert ref.stop(Shutdown())
    assert ref.join() == Shutdown()
    assert log == ["start", ("terminate", Shutdown())]


def test_it_is_alive_until_on_terminate_has_ended(gate: threading.Event) -> None:
    entered = threading.Event()

    class SlowEnd(Recorder):
        def on_terminate(self, reason: ExitReason) -> None:
            entered.set()
            gate.wait(LIMIT)
            super().on_terminate(reason)

    log: list[Any] = []
    ref = SlowEnd.start(log)
    stopped = ref.stop(block=False)
    assert entered.wait(LIMIT)
    assert ref.is_alive()
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
    assert not ref.is_alive()


def test_stop_overtakes_a_backlog_which_then_fails(gate: threading.Event) -> None:
    log: list[Any] = []
    ref = Recorder.options(capacity=300_000).start(log)
    busy(ref, gate)
    for number in range(200_000):
        ref.tell(number)
    late = ref.ask("late", block=False)
    stopped = ref.stop(block=False)
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
    with pytest.raises(ActorDead) as caught:
        late.get(timeout=LIMIT)
    assert caught.value.reason == Normal()
    assert log[0] == "start"
    assert log[2:] == ["on_stop", ("terminate", Normal())]


def test_kill_of_an_idle_actor_runs_on_terminate_and_no_other_hook_before_it_is_dead() -> None:
    for _ in range(200):
        log: list[Any] = []
        ref = Recorder.start(log)
        seen: list[Any] = []
        ref.add_exit_callback(lambda ref, reason, seen=seen, log=log: seen.extend((*log, reason)))  # type: ignore[misc]
        assert ref.kill()
        assert ref.join(LIMIT) == Killed()
        assert seen == ["start", ("terminate", Killed()), Killed()]
        assert not ref.kill()


def test_killed_while_busy_it_is_dead_at_once_and_terminates_once_when_it_comes_back(
    gate: threading.Event,
    backend: str,
) -> None:
    log: list[Any] = []
    ref = Recorder.start(log)
    current = busy(ref, gate)
    queued = ref.ask("queued", block=False)
    assert ref.kill()
    assert not ref.is_alive()
    assert ref.join(timeout=0) == Killed()
    for future in (current, queued):
        with pytest.raises(ActorDead) as caught:
            future.get(timeout=0)
        assert caught.value.reason == Killed()
    with pytest.raises(ActorDead):
        ref.tell(1)
    if backend == "threads":
        assert log == ["start"]
        gate.set()
    gone(ref)  # a greenlet that waits can be ended, a thread not
    assert log[-1] == ("terminate", Killed())
    assert log.count(("terminate", Killed())) == 1


def test_kill_during_a_hung_on_terminate_reports_killed(gate: threading.Event) -> None:
    entered = threading.Event()

    class Hangs(Recorder):
        def on_terminate(self, reason: ExitReason) -> None:
            super().on_terminate(reason)
            entered.set()
            gate.wait(LIMIT)

    log: list[Any] = []
    ref = Hangs.start(log)
    ref.exit(Shutdown())
    assert entered.wait(LIMIT)
    assert ref.kill()
    assert ref.join(0) == Killed()
    gate.set()
    assert log == ["start", "on_stop", ("terminate", Shutdown())]


def test_kill_of_an_actor_that_is_through_at_that_moment_tells_everybody(gate: threading.Event) -> None:
    class Lock:
        """Lets the actor end between the two halves of the kill."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_exc: object) -> None:
            lock.release()
            if not gate.is_set() and not ref.is_alive():
                gate.set()
                gone(ref)

    entered, told = threading.Event(), []

    class EndsSlowly(Recorder):
        def on_terminate(self, reason: ExitReason) -> None:
            entered.set()
            offload(gate.wait, LIMIT)

    ref = EndsSlowly.start()
    ref.add_exit_callback(lambda ref, reason: told.append((ref, reason)))
    ref.stop(block=False)
    assert entered.wait(LIMIT)
    bonds = ref._cell.bonds
    lock, bonds.lock = bonds.lock, Lock()  # type: ignore[assignment]
    assert ref.kill()
    assert told == [(ref, Killed())]
    assert ref.join(LIMIT) == Killed()


def test_current_actor_is_the_ref_inside_and_none_outside() -> None:
    ref = Recorder.start()
    assert ref.ask(("do", lambda actor: current_actor())) is ref
    assert current_actor() is None


def test_child_runs_on_the_backend_of_its_starter() -> None:
    ref = Recorder.start()
    child = ref.ask(("do", lambda actor: Recorder.start()))
    assert child.ask("hello") == "hello"


def test_default_name_is_the_class_and_a_number() -> None:
    assert Recorder.start().name.startswith("Recorder-")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"capacity": 0}, "capacity"),
        ({"capacity": 1.5}, "capacity"),
        ({"capacity": True}, "capacity"),
        ({"overflow": "explode"}, "drop_oldest"),
        ({"block_timeout": -1}, "block_timeout"),
        ({"start_timeout": -1}, "start_timeout"),
        ({"backend": "fibers"}, "threads"),
    ],
)
def test_bad_option_is_refused_by_name_before_anything_starts(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        Recorder.options(**options)


def test_unknown_default_backend_is_a_value_error_naming_the_choices() -> None:
    with pytest.raises(UnknownBackend, match="threads") as caught:
        set_default_backend("fibers")
    assert isinstance(caught.value, ValueError)
    set_default_backend("threads")


def test_register_option_enters_it_before_on_start_and_refuses_a_taken_key() -> None:
    registry = Registry()
    seen: list[Any] = []

    class Looks(Actor):
        def on_start(self) -> None:
            seen.append(registry.lookup("key"))

    ref = Looks.options(register=(registry, "key")).start()
    assert seen == [ref]
    with pytest.raises(AlreadyRegistered) as caught:
        Recorder.options(register=(registry, "key")).start()
    assert caught.value.holder is ref
    assert pykka.ActorRegistry.get_all() == [ref]
    ref.stop()
    assert registry.lookup("key") is None


def test_mailbox_of_a_living_actor_is_refused_and_can_be_used_after_its_end() -> None:
    mailbox = QueueMailbox(capacity=3)
    first = Recorder.options(mailbox=mailbox).start()
    with pytest.raises(MailboxInUse):
        Recorder.options(mailbox=mailbox).start()
    first.stop()
    second = Recorder.options(mailbox=mailbox).start()
    assert second.ask("hello") == "hello"
    with pytest.raises(ActorDead):
        first.tell("nobody")


def test_actor_that_ended_is_freed_while_its_ref_is_held() -> None:
    actors: list[Any] = []
    ref = Recorder.start()
    ref.ask(("do", lambda actor: actors.append(weakref.ref(actor))))
    ref.stop()
    assert actors[0]() is None


def test_actors_that_ended_leave_nothing_to_the_garbage_collector() -> None:
    def live() -> weakref.ref[Any]:
        ref = Recorder.start()
        ref.ask("hello")
        ref.stop()
        return weakref.ref(ref._cell)

    Recorder.start().stop()
    gc.collect()
    gc.disable()
    try:
        cells = [live() for _ in range(3)]
        # The hub has let go of the last one when it has begun with another.
        Recorder.start().stop()
        assert [cell() for cell in cells] == [None] * 3
    finally:
        gc.enable()


def test_str_names_class_and_name() -> None:
    ref = Recorder.options(name="bob").start()
    assert str(ref) == "Recorder 'bob'"
    assert ref.ask(("do", str)) == "Recorder 'bob'"


def test_nothing_starts_at_import() -> None:
    import subprocess

    code = "import threading, beamlens_actors; assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
