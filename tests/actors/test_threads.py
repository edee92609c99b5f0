from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from beamlens_actors import (
    ActorLimit,
    InvalidOption,
    Killed,
    Registry,
    abandoned,
    is_actor_thread,
    offload,
    set_thread_limit,
)
from beamlens_actors.backends import threads as backend
from tests.actors.helpers import LIMIT, Recorder, busy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.backend("threads")


@pytest.fixture(autouse=True)
def default_limit() -> Iterator[None]:
    yield
    set_thread_limit(None)


def test_abandoned_lists_the_thread_until_it_ends(gate: threading.Event) -> None:
    ref = Recorder.options(name="stuck").start()
    busy(ref, gate)
    assert abandoned() == []
    ref.kill()
    [thread] = abandoned()
    assert thread.name == "stuck"
    gate.set()
    thread.join(LIMIT)
    assert abandoned() == []


def test_thread_limit_counts_the_living_and_frees_the_ended() -> None:
    set_thread_limit(2)
    first = Recorder.start()
    Recorder.start()
    registry = Registry()
    for _ in range(20):
        with pytest.raises(ActorLimit, match="2 thread actors"):
            Recorder.options(register=(registry, "key")).start()
        assert registry.count() == 0
        assert len(pykka.ActorRegistry.get_all()) == 2
        first.stop()
        first = Recorder.start()


def test_abandoned_thread_counts_against_the_limit(gate: threading.Event) -> None:
    set_thread_limit(1)
    ref = Recorder.start()
    busy(ref, gate)
    ref.kill()
    with pytest.raises(ActorLimit):
        Recorder.start()
    [thread] = abandoned()
    gate.set()
    thread.join(LIMIT)
    Recorder.start()


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "many"])
def test_impossible_limit_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidOption, match="whole number"):
        set_thread_limit(limit)


def test_default_limit_stays_below_what_the_system_allows() -> None:
    assert 1 <= backend.default_limit() <= 2**22


def test_failed_thread_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    registry, log, refs = Registry(), [], []  # type: ignore[var-annotated]
    registry.subscribe(lambda event: refs.append(event.entry.ref))
    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(ActorLimit, match="can't start new thread"):
        Recorder.options(register=(registry, "key")).start(log)
    monkeypatch.undo()
    assert refs[0].join(LIMIT) == Killed()
    assert pykka.ActorRegistry.get_all() == []
    assert registry.select() == []
    assert backend.THREADS._cells == backend.THREADS._slots == {}
    assert log == []


def test_a_signal_handler_may_start_and_kill_while_its_thread_does(gate: threading.Event) -> None:
    with backend.THREADS._lock:
        ref = Recorder.start()
        busy(ref, gate)
        assert ref.kill()
        assert len(abandoned()) == 1
    gate.set()


def test_actor_threads_are_told_from_others_and_carry_the_name() -> None:
    ref = Recorder.options(name="worker-7").start()
    thread = ref.ask(("do", lambda actor: threading.current_thread()))
    assert (thread.name, thread.daemon) == ("worker-7", True)
    assert is_actor_thread(thread.ident)
    assert ref.ask(("do", lambda actor: is_actor_thread())) is True
    assert not is_actor_thread()
    ref.stop()
    assert not is_actor_thread(thread.ident)


def test_offload_runs_in_place_in_an_actor_and_outside() -> None:
    def where(*args: Any, **kwargs: Any) -> Any:
        return threading.get_ident(), args, kwargs

    ref = Recorder.start()
    inside, ident = ref.ask(("do", lambda actor: (offload(where, 1, x=2), threading.get_ident())))
    assert inside == (ident, (1,), {"x": 2})
    assert offload(where) == (threading.get_ident(), (), {})


def test_interpreter_exit_waits_for_nobody() -> None:
    code = """
import threading
from beamlens_actors import Actor, send_after
class Stuck(Actor):
    def on_receive(self, message): entered.set(); threading.Event().wait()
    def on_terminate(self, reason): threading.Event().wait()
entered = threading.Event()
ref = Stuck.start(); ref.tell(1); entered.wait()
Stuck.start(); send_after(3600, Stuck.start(), 1)
killed = Stuck.start(); entered.clear(); killed.tell(1); entered.wait(); killed.kill()
print("end", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"end\n"
    begin = time.monotonic()
    assert process.wait(LIMIT) == 0
    assert time.monotonic() - begin < 2
    process.stdout.close()


def in_child(check: Any) -> None:
    """Run `check` in a forked child; an error there fails the test."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            check()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child_inherited_actors_are_dead_and_new_ones_work(gate: threading.Event) -> None:
    registry = Registry()
    ref = Recorder.options(name="parent", register=(registry, "key")).start()
    queued = busy(ref, gate), ref.ask("queued", block=False)

    def check() -> None:
        from beamlens_actors import ActorDead, Killed, clock

        assert not ref.is_alive()
        assert ref.join(timeout=0) == Killed()
        assert ref.stop() is False
        assert pykka.ActorRegistry.get_all() == []
        assert registry.lookup("key") is None
        for future in queued:
            with pytest.raises(ActorDead):
                future.get(timeout=1)
        with pytest.raises(ActorDead):
            ref.tell(1)
        assert Recorder.options(register=(registry, "key")).start().ask("x", timeout=LIMIT) == "x"
        fired = threading.Event()
        clock.call_later(0, fired.set)
        assert fired.wait(LIMIT)

    in_child(check)
    gate.set()
    assert ref.ask("still here", timeout=LIMIT) == "still here"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_while_every_lock_is_held_elsewhere_does_not_hang_the_child() -> None:
    registry, ref = Registry(), Recorder.start()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with (
            registry._lock,
            ref._cell.bonds.lock,
            ref._cell.mailbox._lock,  # type: ignore[attr-defined]
            pykka.ActorRegistry._actor_refs_lock,
            backend.THREADS._lock,
        ):
            held.set()
            let_go.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LIMIT)

    def check() -> None:
        assert ref.stop() is False
        new = Recorder.options(register=(registry, "key")).start()
        assert new.stop(timeout=LIMIT) is True

    try:
        in_child(check)
    finally:
        let_go.set()
        thread.join(LIMIT)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_actor_may_fork_in_its_handler() -> None:
    def fork(actor: Any) -> str:
        in_child(lambda: Recorder.start().ask("x", timeout=LIMIT))
        return "forked"

    ref = Recorder.start()
    assert ref.ask(("do", fork), timeout=LIMIT) == "forked"
    assert ref.is_alive()


def test_importing_it_imports_neither_asyncio_nor_gevent() -> None:
    code = "import sys, beamlens_actors; print([name for name in ('asyncio', 'gevent') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
