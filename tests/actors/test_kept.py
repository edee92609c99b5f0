from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from beamlens_actors import is_actor_thread
from beamlens_actors.backends.kept import IDLE, KeptThreads
from tests.actors.helpers import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.backend("threads")


@pytest.fixture
def threads() -> Iterator[KeptThreads]:
    kept = KeptThreads(keep=LIMIT, most=2)
    yield kept
    kept.close(join=True)


def run(threads: KeptThreads, fn: Callable[[], Any], name: str = "one", *, again: bool = True) -> threading.Thread:
    """The thread on which `fn` ran."""
    errand = threads.errand(lambda: (fn(), again)[1], name)
    errand.start()
    errand.join()
    assert errand.thread is not None
    assert not errand.is_alive()
    return errand.thread


def test_a_thread_is_used_again_and_bears_each_name_in_turn(threads: KeptThreads) -> None:
    names: list[str] = []
    first, second = (run(threads, lambda: names.append(threading.current_thread().name), name) for name in ("a", "b"))
    assert (first is second, names, first.name, is_actor_thread(first.ident)) == (True, ["a", "b"], IDLE, True)


def test_what_runs_at_the_same_time_has_threads_of_its_own_and_most_of_them_wait(threads: KeptThreads) -> None:
    gate, together = threading.Event(), threading.Barrier(4)
    errands = [threads.errand(lambda: bool(together.wait(LIMIT) + 1 and gate.wait(LIMIT)), "one") for _ in range(3)]
    for errand in errands:
        errand.start()
    together.wait(LIMIT)
    assert all(errand.is_alive() for errand in errands)
    gate.set()
    for errand in errands:
        errand.join()
    ran_on = {errand.thread for errand in errands}
    assert (len(ran_on), sum(thread is not None and thread.name == IDLE for thread in ran_on)) == (3, 2)


def test_context_variables_are_fresh_each_time(threads: KeptThreads) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    for value in ("a", "b"):
        run(threads, lambda value=value: (seen.append(variable.get()), variable.set(value)))  # type: ignore[misc]
    assert seen == ["unset", "unset"]


def test_a_thread_that_waited_in_vain_ends_by_itself() -> None:
    thread = run(KeptThreads(keep=0.001), int)
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_every_errand_runs_once_though_its_thread_may_be_about_to_end() -> None:
    threads, ran = KeptThreads(keep=0.0), []
    for number in range(300):
        run(threads, lambda number=number: ran.append(number))  # type: ignore[misc]
    assert ran == list(range(300))


def test_a_thread_that_is_not_as_before_is_not_used_again(threads: KeptThreads) -> None:
    spoiled = run(threads, int, again=False)
    assert run(threads, int) is not spoiled
    spoiled.join(LIMIT)
    assert not spoiled.is_alive()


def test_closing_ends_those_that_wait_and_later_those_that_are_busy(threads: KeptThreads) -> None:
    gate = threading.Event()
    busy, waiting = threads.errand(lambda: gate.wait(LIMIT), "busy"), run(threads, int)
    busy.start()
    idle = run(threads, int)
    assert busy.thread is waiting
    threads.close(join=True)
    assert (idle.is_alive(), busy.is_alive()) == (False, True)
    gate.set()
    busy.join()
    waiting.join(LIMIT)
    assert not waiting.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_on_which_something_raised_is_not_used_again(threads: KeptThreads) -> None:
    thread = run(threads, lambda: 1 / 0)
    thread.join(LIMIT)
    assert run(threads, int) is not thread


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_errand_for_which_there_is_no_thread_can_be_tried_again(
    threads: KeptThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.errand(lambda: True, "one").start()
    assert run(threads, int).name == IDLE


def test_in_a_forked_child_threads_are_new_and_none_is_waited_for() -> None:
    code = """
import os, warnings
from beamlens_actors.backends.kept import KeptThreads
warnings.simplefilter("ignore", DeprecationWarning)
def ran(threads):
    errand = threads.errand(lambda: True, "one")
    errand.start()
    errand.join()
threads = KeptThreads()
ran(threads)
pid = os.fork()
if pid == 0:
    ran(threads)
    threads.close(join=True)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")
