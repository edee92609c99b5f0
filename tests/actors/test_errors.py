"""The error table: each error when it is due, of the kinds it has to be, with the value in its message."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from beamlens_actors import (
    Aborted,
    AbortSignal,
    Actor,
    ActorCrashed,
    ActorDead,
    ActorError,
    ActorLimit,
    AlreadyRegistered,
    AskTimeout,
    Crash,
    EventStream,
    InvalidOption,
    Killed,
    MailboxFull,
    MailboxInUse,
    Normal,
    QueueMailbox,
    Registry,
    ReplyError,
    ResultTimeout,
    SelfAsk,
    Shutdown,
    StartTimeout,
    StopTimeout,
    UnknownBackend,
    errors,
    set_default_backend,
    set_max_blocking_time,
    set_thread_limit,
)
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


class Hangs(Actor):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def on_start(self) -> None:
        self.gate.wait(LIMIT)


class FailsToStart(Actor):
    def on_start(self) -> None:
        raise Refused("no disk")


def named(name: str = "bob", **options: Any) -> Any:
    return Recorder.options(name=name, **options).start()


# -- kinds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (ActorDead, [pykka.ActorDeadError]),
        (AskTimeout, [pykka.Timeout, TimeoutError]),
        (StartTimeout, [TimeoutError]),
        (StopTimeout, [pykka.Timeout, TimeoutError]),
        (ResultTimeout, [TimeoutError]),
        (SelfAsk, [RuntimeError]),
        (ActorLimit, [RuntimeError]),
        (InvalidOption, [ValueError]),
        (UnknownBackend, [InvalidOption]),
    ],
)
def test_error_is_also_of_these_kinds(error: type[Exception], kinds: list[type[Exception]]) -> None:
    assert [issubclass(error, kind) for kind in kinds] == [True] * len(kinds)


def test_every_error_has_the_one_base() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 15
    assert [kind for kind in kinds if not issubclass(kind, ActorError)] == []


# -- dead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [lambda ref: ref.tell(1), lambda ref: ref.ask(1)], ids=["tell", "ask"])
def test_message_to_the_dead_names_it_and_why_it_ended(send: Any) -> None:
    ref = named()
    ref.stop(Shutdown("over"))
    with pytest.raises(ActorDead, match=r"^bob has ended: Shutdown\(detail='over'\)$") as caught:
        send(ref)
    assert caught.value.reason == Shutdown("over")


@pytest.mark.parametrize(
    ("end", "reason"),
    [(lambda ref: ref.stop(block=False), Normal()), (lambda ref: ref.kill(), Killed())],
    ids=["stop", "kill"],
)
def test_question_that_waits_when_the_actor_ends_fails_with_the_reason(
    gate: threading.Event, end: Any, reason: Any
) -> None:
    ref = named()
    busy(ref, gate)
    future = ref.ask("x", block=False)
    end(ref)
    gate.set()
    with pytest.raises(ActorDead, match="bob has ended") as caught:
        future.get(timeout=LIMIT)
    assert caught.value.reason == reason


def test_question_that_waits_behind_a_crash_fails_with_it(gate: threading.Event) -> None:
    ref, error = named(), Refused("broken")
    busy(ref, gate)
    ref.tell(("raise", error))
    future = ref.ask("x", block=False)
    gate.set()
    with pytest.raises(ActorDead, match="broken") as caught:
        future.get(timeout=LIMIT)
    assert caught.value.reason == Crash(error)


# -- timeouts ------------------------------------------------------------------------------------------------


def test_answer_that_is_late_tells_the_time(gate: threading.Event) -> None:
    ref = named()
    busy(ref, gate)
    with pytest.raises(AskTimeout, match=r"^no answer within 0\.01 s$"):
        ref.ask("x", timeout=0.01)
    gate.set()


def test_start_that_hangs_tells_who_and_how_long_and_leaves_nothing(gate: threading.Event) -> None:
    caught: list[Any] = []
    registry = Registry()

    def start() -> None:
        with pytest.raises(StartTimeout) as error:
            Hangs.options(name="bob", start_timeout=7, register=(registry, "key")).start(gate)
        caught.append(str(error.value))

    with FakeClock() as clock:
        thread = threading.Thread(target=start)
        thread.start()
        clock.wait_for_waiters(1)
        clock.advance(7)
        thread.join(LIMIT)
    assert caught == ["on_start of bob took longer than 7 s"]
    assert pykka.ActorRegistry.get_all() == []
    assert registry.count() == 0


@pytest.mark.parametrize(
    "wait", [lambda ref: ref.stop(timeout=0), lambda ref: ref.join(timeout=0)], ids=["stop", "join"]
)
def test_end_that_is_late_tells_who_and_how_long(gate: threading.Event, wait: Any) -> None:
    ref = named()
    busy(ref, gate)
    with pytest.raises(StopTimeout, match=r"^Recorder 'bob' did not end within 0 s$"):
        wait(ref)
    gate.set()


# -- waiting for oneself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        lambda ref: ref.ask("me"),
        lambda ref: ref.ask("me", block=False).get(),
        lambda ref: ref.stop(),
        lambda ref: ref.join(),
        lambda ref: Recorder.start().ask(("do", lambda _: None)) or AsksOnStart.start(ref),
    ],
    ids=["ask", "future", "stop", "join", "child-on-start"],
)
def test_actor_that_would_wait_for_itself_is_refused_by_name_and_lives(wait: Any) -> None:
    ref = named()

    def refused(actor: Any) -> str:
        with pytest.raises(SelfAsk, match=r"^bob would wait for itself$"):
            wait(actor.actor_ref)
        return "refused"

    assert ref.ask(("do", refused), timeout=LIMIT) == "refused"
    assert ref.is_alive()


class AsksOnStart(Actor):
    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent

    def on_start(self) -> None:
        self.parent.ask("hello", timeout=LIMIT)


# -- full mailboxes ------------------------------------------------------------------------------------------


def test_message_to_a_full_mailbox_is_refused_with_its_capacity(gate: threading.Event) -> None:
    ref = named(capacity=2)
    busy(ref, gate)
    ref.tell(1)
    ref.tell(2)
    with pytest.raises(MailboxFull, match=r"^the mailbox holds 2 messages, its capacity$"):
        ref.tell(3)
    with pytest.raises(MailboxFull, match=r"holds 2 messages"):
        ref.ask(3)
    gate.set()


def test_question_that_was_dropped_tells_by_whom(gate: threading.Event) -> None:
    ref = named(capacity=1, overflow="drop_oldest")
    busy(ref, gate)
    dropped = ref.ask("old", block=False)
    ref.tell("new")
    with pytest.raises(MailboxFull, match=r"^the mailbox of bob was full and dropped this question$"):
        dropped.get(timeout=LIMIT)
    gate.set()


def test_mailbox_of_another_is_refused() -> None:
    mailbox = QueueMailbox()
    named(mailbox=mailbox)
    with pytest.raises(MailboxInUse, match="belongs to an actor that is alive"):
        named(mailbox=mailbox)


# -- what a handler or on_start raises -----------------------------------------------------------------------


def test_error_that_is_no_exception_is_shown_and_carried() -> None:
    ref, error = named(), SystemExit(3)
    with pytest.raises(ActorCrashed, match=r"^the actor was ended by SystemExit\(3\)$") as caught:
        ref.ask(("raise", error))
    assert caught.value.cause is error


def test_start_that_raises_raises_just_that_and_leaves_nothing() -> None:
    registry = Registry()
    with pytest.raises(Refused, match="no disk"):
        FailsToStart.options(register=(registry, "key")).start()
    assert registry.count() == 0
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.parametrize("carried", ["text", None, SystemExit(1), Refused])
def test_refusal_must_carry_an_exception(carried: Any) -> None:
    with pytest.raises(TypeError, match=r"^ReplyError carries an exception for the asker, not "):
        ReplyError(carried)


# -- names ---------------------------------------------------------------------------------------------------


def test_key_that_is_taken_is_named_with_its_holder() -> None:
    registry = Registry()
    holder = named(register=(registry, "the key"))
    with pytest.raises(AlreadyRegistered, match=r"^'the key' is registered to Recorder 'bob'$") as caught:
        named("eve", register=(registry, "the key"))
    assert (caught.value.key, caught.value.holder) == ("the key", holder)
    assert pykka.ActorRegistry.get_all() == [holder]


def test_dead_actor_cannot_be_registered() -> None:
    ref = named()
    ref.stop()
    with pytest.raises(ActorDead, match=r"Recorder 'bob' has ended"):
        Registry().register("key", ref)


# -- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, r"^capacity must be a whole number of at least 1, not 0$"),
        ({"capacity": -3}, r"^capacity .* not -3$"),
        ({"capacity": 1.5}, r"^capacity .* not 1\.5$"),
        ({"capacity": None}, r"^capacity .* not None$"),
        ({"overflow": "explode"}, r"^overflow must be one of reject, drop_oldest, drop_newest, block, not 'explode'$"),
        ({"block_timeout": -1}, r"^block_timeout must not be negative, but is -1$"),
        ({"block_timeout": float("nan")}, r"^block_timeout .* nan$"),
        ({"block_timeout": None}, r"^block_timeout must be a number of seconds, not None$"),
        ({"start_timeout": -0.5}, r"^start_timeout must not be negative, but is -0\.5$"),
        ({"start_timeout": "soon"}, r"^start_timeout must be a number of seconds or None, not 'soon'$"),
        ({"backend": "fibers"}, r"^there is no backend 'fibers'; choose one of: threads, greenlets$"),
        ({"register": "key"}, r"^register must be a pair of a Registry and a key, not 'key'$"),
        ({"register": ("somewhere", "key")}, r"^register must be .* not \('somewhere', 'key'\)$"),
    ],
)
def test_option_that_cannot_be_is_named_with_its_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Recorder.options(**options)
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: set_default_backend("fibers"), "'fibers'"),
        (lambda: set_thread_limit(0), "not 0"),
        (lambda: set_max_blocking_time(0), "not 0"),
        (lambda: Registry("some"), "'some'"),  # type: ignore[arg-type]
        (lambda: QueueMailbox(0), "not 0"),
        (lambda: EventStream(capacity=0), "not 0"),
        (lambda: EventStream(overflow="block"), "'block'"),  # type: ignore[arg-type]
        (lambda: EventStream(timeout=-1), "-1"),
        (lambda: EventStream(owner="bob"), "'bob'"),  # type: ignore[arg-type]
    ],
)
def test_argument_that_cannot_be_is_shown(call: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        call()


@pytest.mark.parametrize("end", ["stop", "exit"])
@pytest.mark.parametrize(("reason", "shown"), [(Shutdown, r"pass an instance: Shutdown\(\)"), ("done", "not 'done'")])
def test_exit_reason_that_is_none_is_shown(end: str, reason: Any, shown: str) -> None:
    ref = named()
    with pytest.raises(TypeError, match=shown):
        getattr(ref, end)(reason)
    assert ref.is_alive()


def test_abort_is_raised_with_its_reason() -> None:
    signal = AbortSignal()
    signal.abort("shutting down")
    with pytest.raises(Aborted, match=r"^aborted: shutting down$"):
        signal.raise_if_aborted()


@pytest.mark.backend("threads")
def test_limit_of_thread_actors_is_named() -> None:
    set_thread_limit(1)
    try:
        named()
        with pytest.raises(ActorLimit, match=r"^1 thread actors run, the limit of set_thread_limit$"):
            named()
    finally:
        set_thread_limit(None)
