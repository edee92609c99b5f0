"""What only the greenlets backend does; the rest of the suite runs on both."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import threading
from typing import Any

import gevent
import pytest
from greenlet import GreenletExit, greenlet

from beamlens_actors import (
    Actor,
    ActorDead,
    AskTimeout,
    BackendUnavailable,
    ExitReason,
    InvalidOption,
    Killed,
    MailboxFull,
    QueueMailbox,
    Registry,
    SelfAsk,
    Shutdown,
    clock,
    current_actor,
    is_actor_thread,
    offload,
    set_default_backend,
    set_max_blocking_time,
)
from beamlens_actors.backends.greenlets import get_greenlets
from beamlens_actors.backends.watchdog import Watch
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, Refused, busy, gone

pytestmark = pytest.mark.backend("greenlets")


def python(code: str) -> str:
    """Run code in a process of its own; what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def do(ref: Any, fn: Any, **options: Any) -> Any:
    return ref.ask(("do", fn), **options)


# -- starting ------------------------------------------------------------------------------------------------


def test_gevent_is_imported_with_the_first_greenlet_actor_and_patches_nothing() -> None:
    said = python(
        "import sys, threading, time, socket\n"
        "before = (threading.Lock, time.sleep, socket.socket)\n"
        "import beamlens_actors as b\n"
        "print('gevent' in sys.modules, threading.active_count())\n"
        "b.Actor.start().stop()\n"
        "print('gevent' in sys.modules)\n"
        "b.Actor.options(backend='greenlets').start().stop()\n"
        "print('gevent' in sys.modules, before == (threading.Lock, time.sleep, socket.socket))\n"
    )
    assert said.split() == ["False", "1", "False", "True", "True"]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("sys.modules['gevent'] = None", "needs gevent, which cannot be imported"),
        ("sys._is_gil_enabled = lambda: False", "needs an interpreter with a GIL"),
        ("from gevent import monkey; monkey.patch_all()", "gevent has patched threads"),
    ],
)
def test_where_greenlets_cannot_work_they_are_refused_and_threads_work(prepare: str, words: str) -> None:
    said = python(
        "import sys\n"
        f"{prepare}\n"
        "import beamlens_actors as b\n"
        "for refused in (lambda: b.Actor.options(backend='greenlets'), lambda: b.set_default_backend('greenlets')):\n"
        "    try:\n"
        "        refused()\n"
        "    except b.BackendUnavailable as error:\n"
        "        print(error)\n"
        "ref = b.Actor.start()\n"
        "print(ref.stop())\n"
    )
    first, second, stopped = said.splitlines()
    assert words in first
    assert (second, stopped) == (first, "True")


def test_no_thread_for_the_hub_is_an_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    get_greenlets().stop()
    registry, log = Registry(), []  # type: ignore[var-annotated]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(BackendUnavailable, match="can't start new thread"):
            Recorder.options(register=(registry, "key")).start(log)
    assert (log, registry.lookup("key")) == ([], None)
    assert Recorder.start(log).ask(1) == 1


def test_all_actors_share_one_thread_and_an_idle_one_has_no_greenlet() -> None:
    refs = [Recorder.start() for _ in range(50)]
    assert len({do(ref, lambda actor: threading.get_ident()) for ref in refs}) == 1
    assert [ref._cell.handle for ref in refs] == [None] * 50
    assert is_actor_thread(do(refs[0], lambda actor: threading.get_ident()))


def test_ten_thousand_actors_live_and_each_answers() -> None:
    refs = [Recorder.start() for _ in range(10_000)]
    assert [ref.ask(number, timeout=LIMIT) for number, ref in enumerate(refs)] == list(range(10_000))


def test_the_process_ends_with_actors_alive_and_one_that_waits() -> None:
    said = python(
        "import beamlens_actors as b, gevent\n"
        "class A(b.Actor):\n"
        "    def on_receive(self, message): gevent.sleep(3600)\n"
        "refs = [A.options(backend='greenlets').start() for _ in range(3)]\n"
        "refs[0].tell(1)\n"
        "print(refs[1].is_alive())\n"
    )
    assert said == "True"


def test_what_runs_at_exit_after_the_hub_finds_its_actors_dead() -> None:
    said = python(
        "import atexit, threading, beamlens_actors as b\n"
        "refs, entered = [], threading.Event()\n"
        "class A(b.Actor):\n"
        "    def on_receive(self, message):\n"
        "        entered.set(); b.offload(threading.Event().wait)\n"
        "def last():\n"
        "    print(refs[0].stop(), refs[1].is_alive(), refs[1].join(), refs[1].kill())\n"
        "    for waits in (questions[0].get, lambda: refs[0].ask(1)):\n"
        "        try:\n"
        "            waits()\n"
        "        except b.ActorDead:\n"
        "            print('dead')\n"
        "atexit.register(last)\n"
        "refs += [A.options(backend='greenlets').start() for _ in range(2)]\n"
        "questions = [refs[1].ask(1, block=False)]\n"
        "entered.wait()\n"
    )
    assert said.split() == ["False", "False", "Killed()", "False", "dead", "dead"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child_the_actors_are_dead_and_new_ones_start() -> None:
    ref = Recorder.start()
    waiting = Recorder.start()
    gate = threading.Event()
    open_question = busy(waiting, gate)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with pytest.raises(ActorDead):
                open_question.get(timeout=LIMIT)
            fine = not ref.is_alive() and Recorder.start().ask(7, timeout=LIMIT) == 7 and current_actor() is None
            os.write(writing, b"fine" if fine else b"bad")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"fine"
    os.close(reading)
    os.waitpid(pid, 0)
    gate.set()
    assert ref.ask(1, timeout=LIMIT) == 1


def test_what_is_sent_to_an_actor_before_it_starts_waits_for_its_start() -> None:
    class Hasty(Recorder):
        def __init__(self, log: list[Any]) -> None:
            super().__init__(log)
            self.stop(Shutdown("early"))
            looked = threading.Event()
            hub.call(looked.set)
            assert looked.wait(LIMIT)

    other = Recorder.start()
    hub = other._cell.backend._hub
    log: list[Any] = []
    assert Hasty.start(log).join(LIMIT) == Shutdown("early")
    assert log == ["start", "on_stop", ("terminate", Shutdown("early"))]
    assert other.ask(1, timeout=LIMIT) == 1


# -- waiting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(lambda gate: offload(gate.wait, LIMIT), id="an offloaded call"),
        pytest.param(lambda gate: Recorder.options(backend="threads").start().ask(("wait", gate, gate)), id="an ask"),
    ],
)
def test_a_handler_that_waits_lets_the_other_actors_go_on(wait: Any, gate: threading.Event) -> None:
    waiting, other = Recorder.start(), Recorder.start()
    entered = threading.Event()

    def handler(actor: Actor) -> str:
        entered.set()
        wait(gate)
        return "through"

    answer = waiting.ask(("do", handler), block=False)
    assert entered.wait(LIMIT)
    assert other.ask(1, timeout=LIMIT) == 1
    gate.set()
    assert answer.get(timeout=LIMIT) == "through"


def test_hub_to_thread_to_hub_is_no_deadlock() -> None:
    last = Recorder.start()
    middle = Recorder.options(backend="threads").start()
    first = Recorder.start()
    answer = do(first, lambda _: do(middle, lambda _: last.ask("there", timeout=LIMIT), timeout=LIMIT), timeout=LIMIT)
    assert answer == "there"


def test_an_ask_between_actors_times_out_and_its_late_answer_is_dropped(gate: threading.Event) -> None:
    slow, asker = Recorder.start(), Recorder.start()

    def ask(actor: Actor) -> str:
        try:
            return str(slow.ask(("wait", threading.Event(), gate), timeout=5))
        except AskTimeout as error:
            return str(error)

    with FakeClock() as fake:
        answer = asker.ask(("do", ask), block=False)
        fake.wait_for_waiters(1)
        fake.advance(5)
        assert answer.get(timeout=LIMIT) == "no answer within 5 s"
    gate.set()
    assert slow.ask("alive", timeout=LIMIT) == "alive"
    assert asker.ask("alive", timeout=LIMIT) == "alive"


def test_a_timeout_passes_on_the_real_clock_too(gate: threading.Event) -> None:
    slow, asker = Recorder.start(), Recorder.start()
    busy(slow, gate)
    with pytest.raises(AskTimeout):
        do(asker, lambda actor: slow.ask(1, timeout=0.01), timeout=LIMIT)


def test_the_clock_sleeps_without_stopping_the_others() -> None:
    sleeper, other = Recorder.start(), Recorder.start()
    with FakeClock() as fake:
        slept = sleeper.ask(("do", lambda actor: clock.sleep(60)), block=False)
        fake.wait_for_waiters(1)
        assert other.ask(1, timeout=LIMIT) == 1
        fake.advance(60)
        assert slept.get(timeout=LIMIT) is None
    assert do(sleeper, lambda actor: clock.sleep(0.001), timeout=LIMIT) is None


def test_a_full_mailbox_parks_the_sender_and_not_the_hub(gate: threading.Event) -> None:
    full = Recorder.options(capacity=1, overflow="block", block_timeout=LIMIT).start()
    sender, other = Recorder.start(), Recorder.start()
    busy(full, gate)
    full.tell("fills it")
    sent = sender.ask(("do", lambda actor: full.tell("waits")), block=False)
    assert other.ask(1, timeout=LIMIT) == 1
    assert not sent.done()
    gate.set()
    assert sent.get(timeout=LIMIT) is None
    assert full.ask("log", timeout=LIMIT)[-2:] == ["fills it", "waits"]


def test_in_a_callback_of_the_loop_nobody_can_be_parked() -> None:
    full = Recorder.options(capacity=1, overflow="block", block_timeout=LIMIT).start()
    gate, caught = threading.Event(), []
    busy(full, gate)
    full.tell("fills it")

    def send() -> None:
        try:
            full.tell("refused at once")
        except MailboxFull as error:
            caught.append(error)
        looked.set()

    looked = threading.Event()
    full._cell.backend._hub.call(send)
    assert looked.wait(LIMIT)
    assert len(caught) == 1
    gate.set()


def test_greenlets_that_a_handler_spawns_may_ask_and_are_no_actor() -> None:
    asked, asker = Recorder.start(), Recorder.start()

    def handler(actor: Actor) -> Any:
        def inside() -> Any:
            return current_actor(), asked.ask(3, timeout=LIMIT)

        return gevent.spawn(inside).get()

    assert do(asker, handler, timeout=LIMIT) == (None, 3)
    assert do(asker, lambda actor: current_actor() is actor.actor_ref)


def test_what_gevent_wakes_goes_on_where_it_was() -> None:
    def handler(actor: Actor) -> Any:
        before = current_actor()
        gevent.sleep(0.01)
        return before is current_actor() is actor.actor_ref

    refs = [Recorder.start() for _ in range(20)]
    answers = [ref.ask(("do", handler), block=False) for ref in refs]
    assert [answer.get(timeout=LIMIT) for answer in answers] == [True] * 20


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Refused()])
def test_an_error_in_a_greenlet_that_a_handler_spawned_leaves_the_hub_alone(error: BaseException) -> None:
    def fail() -> None:
        raise error

    ref, other = Recorder.start(), Recorder.start()
    ref.tell(("do", lambda actor: gevent.spawn(fail)))
    assert other.ask(1, timeout=LIMIT) == 1
    assert do(ref, lambda actor: gevent.sleep(0.001), timeout=LIMIT) is None
    assert other._cell.backend._hub.thread.is_alive()


@pytest.mark.parametrize("error", [SystemExit(3), Refused()])
def test_an_error_in_a_bare_greenlet_that_waited_leaves_the_hub_alone(
    error: BaseException, gate: threading.Event
) -> None:
    ref, slow = Recorder.start(), Recorder.options(backend="threads").start()

    def fail() -> None:
        slow.ask(("wait", gate, gate), timeout=LIMIT)
        raise error

    ref.tell(("do", lambda actor: greenlet(fail, gevent.get_hub()).switch()))
    assert gate.wait(LIMIT)
    assert slow.ask(1, timeout=LIMIT) == 1
    assert Recorder.start().ask(1, timeout=LIMIT) == 1


# -- offload -------------------------------------------------------------------------------------------------


def test_offload_runs_on_another_thread_as_part_of_the_actor() -> None:
    ref = Recorder.start()

    def where(*args: Any, **kwargs: Any) -> Any:
        return threading.get_ident(), current_actor(), args, kwargs

    (ident, actor, args, kwargs), own = do(ref, lambda _: (offload(where, 1, x=2), threading.get_ident()))
    assert ident != own
    assert (actor, args, kwargs) == (ref, (1,), {"x": 2})


def test_offload_raises_what_the_call_raises_and_knows_who_would_wait_for_itself() -> None:
    ref = Recorder.start()

    def asks_itself(actor: Actor) -> str:
        try:
            offload(ref.ask, 1)
        except SelfAsk:
            return "refused"
        return "asked"

    assert do(ref, asks_itself, timeout=LIMIT) == "refused"
    with pytest.raises(ZeroDivisionError):
        do(ref, lambda actor: offload(lambda: 1 / 0), timeout=LIMIT)


def test_an_offloaded_call_that_outlives_its_actor_belongs_to_nobody(gate: threading.Event) -> None:
    ref, other = Recorder.start(), Recorder.start()
    entered, came = threading.Event(), threading.Event()
    seen: list[Any] = []

    def late() -> None:
        entered.set()
        gate.wait(LIMIT)
        try:
            seen.append(current_actor())
            other.exit(Shutdown())
        finally:
            came.set()

    ref.tell(("do", lambda actor: offload(late)))
    assert entered.wait(LIMIT)
    ref.kill()
    gone(ref)
    gate.set()
    assert came.wait(LIMIT)
    assert (seen, other.join(LIMIT)) == ([None], Shutdown())


# -- ending --------------------------------------------------------------------------------------------------


def test_killing_one_that_waits_unwinds_its_handler_and_terminates_it(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    entered, log = threading.Event(), []  # type: ignore[var-annotated]
    ref = Recorder.start(log)

    def handler(actor: Actor) -> None:
        try:
            entered.set()
            offload(gate.wait, LIMIT)
        finally:
            log.append("unwound")

    ref.tell(("do", handler))
    assert entered.wait(LIMIT)
    assert ref.kill()
    gone(ref)
    assert log == ["start", "unwound", ("terminate", Killed())]
    assert "crashed" not in caplog.text


def test_a_kill_that_was_obeyed_after_all_does_not_unwind_on_terminate(gate: threading.Event) -> None:
    entered, terminates, go_on = threading.Event(), threading.Event(), threading.Event()
    log: list[Any] = []

    class Tidy(Recorder):
        def on_terminate(self, reason: ExitReason) -> None:
            terminates.set()
            offload(go_on.wait, LIMIT)
            super().on_terminate(reason)

    class Lock:
        """Lets the handler come back just when the kill has seen it at work."""

        def __enter__(self) -> None:
            if not gate.is_set():
                gate.set()
                assert terminates.wait(LIMIT)
            lock.acquire()

        def __exit__(self, *_exc: object) -> None:
            lock.release()

    ref = Tidy.start(log)
    ref.tell(("do", lambda actor: offload(lambda: entered.set() or gate.wait(LIMIT))))  # type: ignore[func-returns-value]
    assert entered.wait(LIMIT)
    bonds, hub = ref._cell.bonds, ref._cell.backend._hub
    lock, bonds.lock = bonds.lock, Lock()  # type: ignore[assignment]
    assert ref.kill()
    looked = threading.Event()
    hub.call(looked.set)
    assert looked.wait(LIMIT)
    go_on.set()
    gone(ref)
    assert log == ["start", ("terminate", Killed())]


def test_killing_one_that_waits_in_on_start_fails_its_start(gate: threading.Event) -> None:
    started: list[Any] = []

    class Waits(Actor):
        def on_start(self) -> None:
            started.append(self.actor_ref)
            entered.set()
            offload(gate.wait, LIMIT)

        def on_terminate(self, reason: ExitReason) -> None:
            started.append(reason)

    entered, failed = threading.Event(), []

    def start() -> None:
        try:
            Waits.options(backend="greenlets").start()
        except ActorDead as error:
            failed.append(error.reason)

    thread = threading.Thread(target=start)
    thread.start()
    assert entered.wait(LIMIT)
    ref = started[0]
    assert ref.kill()
    thread.join(LIMIT)
    gone(ref)
    assert (failed, started[1:]) == ([Killed()], [Killed()])


def test_a_greenlet_exit_ends_its_actor_only() -> None:
    ref, other = Recorder.start(), Recorder.start()
    ref.tell(("raise", GreenletExit()))
    assert repr(ref.join(LIMIT)) == "Crash(exception=GreenletExit())"
    assert other.ask(1, timeout=LIMIT) == 1


def test_a_sender_that_is_killed_while_it_waits_for_room_leaves_the_room_to_the_next() -> None:
    mailbox = QueueMailbox(1, "block", block_timeout=LIMIT)
    full = Recorder.options(backend="threads", mailbox=mailbox).start()
    gate = threading.Event()
    busy(full, gate)
    full.tell("fills it")
    first, second = Recorder.start(), Recorder.start()
    with FakeClock() as fake:
        first.tell(("do", lambda actor: full.tell("never")))
        fake.wait_for_waiters(1)
        sent = second.ask(("do", lambda actor: full.tell("waits")), block=False)
        fake.wait_for_waiters(2)

        def killed_between() -> None:
            mailbox._lane.take()
            with mailbox._room:  # type: ignore[union-attr]
                mailbox._room.notify()  # type: ignore[union-attr]
            first._cell.handle.throw(GreenletExit)

        first._cell.backend._hub.call(killed_between)
        assert sent.get(timeout=None) is None
    gate.set()
    assert full.ask("log", timeout=LIMIT)[-1] == "waits"


def test_a_wait_that_a_kill_ended_no_longer_counts() -> None:
    ref = Recorder.start()
    with FakeClock() as fake:
        ref.tell(("do", lambda actor: clock.sleep(60)))
        fake.wait_for_waiters(1)
        ref.kill()
        gone(ref)
        assert fake.waiters() == 0


# -- one hub for all -----------------------------------------------------------------------------------------


def test_one_that_never_has_enough_does_not_starve_the_others() -> None:
    class Endless(Actor):
        def on_receive(self, message: Any) -> None:
            self.actor_ref.tell(message)

    greedy, other = Endless.start(), Recorder.start()
    for _ in range(3):
        greedy.tell("again")
    assert [other.ask(number, timeout=LIMIT) for number in range(50)] == list(range(50))
    assert do(other, lambda actor: gevent.sleep(0.001), timeout=LIMIT) is None  # nor the loop's own timers
    greedy.stop(timeout=LIMIT)


def test_context_variables_are_the_actors_own_and_stay_from_message_to_message() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    one, other = Recorder.start(), Recorder.start()

    def change(value: str) -> Any:
        def handler(actor: Actor) -> None:
            variable.set(value)
            gevent.sleep(0.001)

        return handler

    answers = [one.ask(("do", change("one")), block=False), other.ask(("do", change("other")), block=False)]
    for answer in answers:
        answer.get(timeout=LIMIT)
    assert [do(ref, lambda actor: variable.get()) for ref in (one, other)] == ["one", "other"]
    assert variable.get() == "unset"


def test_children_run_on_the_hub_of_their_starter() -> None:
    set_default_backend("threads")
    parent = Recorder.options(backend="greenlets").start()
    child = do(parent, lambda actor: Recorder.start(), timeout=LIMIT)
    assert child._cell.backend.name == "greenlets"


# -- the watchdog --------------------------------------------------------------------------------------------


class Warnings:
    """Waits for a record of the watchdog."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.came = threading.Event()

    def __call__(self, record: Any) -> bool:
        if "has kept its thread" in record.getMessage():
            self.texts.append(record.getMessage())
            self.came.set()
        return True


@pytest.fixture
def warnings() -> Any:
    import logging

    found = Warnings()
    logger = logging.getLogger("beamlens_actors")
    logger.addFilter(found)
    yield found
    logger.removeFilter(found)
    set_max_blocking_time(0.5)


def test_an_actor_that_blocks_the_hub_is_named_once_with_the_place(warnings: Warnings) -> None:
    ref = Recorder.options(name="blocker").start()
    set_max_blocking_time(0.05)
    answer = ref.ask(("do", lambda actor: warnings.came.wait(LIMIT)), block=False)
    assert answer.get(timeout=LIMIT) is True
    assert ref.ask(1) == 1
    assert len(warnings.texts) == 1
    assert warnings.texts[0].startswith("blocker has kept its thread for over 0.05 s at ")
    assert "threading.py:" in warnings.texts[0] or __file__ in warnings.texts[0]


def test_a_turn_that_waited_for_long_and_goes_on_is_not_taken_for_a_block(gate: threading.Event) -> None:
    entered, back, blocked = threading.Event(), threading.Event(), threading.Event()
    ref = Recorder.options(name="waiter").start()

    def handler(actor: Actor) -> None:
        entered.set()
        offload(gate.wait, LIMIT)
        back.set()
        blocked.wait(LIMIT)

    hub, parked = ref._cell.backend._hub, threading.Event()
    watch = Watch(hub)
    answer = ref.ask(("do", handler), block=False)
    assert entered.wait(LIMIT)
    hub.call(parked.set)
    assert parked.wait(LIMIT)
    assert watch.look() is None
    gate.set()
    assert back.wait(LIMIT)
    assert watch.look() is None
    assert str(watch.look()).startswith("waiter has kept its thread for over 0.5 s at ")
    assert watch.look() is None
    blocked.set()
    assert answer.get(timeout=LIMIT) is None


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_blocking_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidOption, match=f"not {seconds}"):
        set_max_blocking_time(seconds)
