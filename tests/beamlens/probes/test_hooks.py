from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
import threading
import types

import pytest

from beamlens.probes import hooks


@pytest.fixture
def before(monkeypatch):
    """The host's own hooks, which must still be called."""
    called = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: called.append("main"))
    monkeypatch.setattr(threading, "excepthook", lambda args: called.append("thread"))
    monkeypatch.setattr(sys, "unraisablehook", lambda args: called.append("unraisable"))
    return called


@pytest.fixture
def told(before):
    found = []
    sink = lambda origin, error, thread: found.append((origin, type(error).__name__, thread))  # noqa: E731
    hooks.add(sink)
    yield found
    hooks.remove(sink)


def fail():
    raise ValueError("x")


def test_an_exception_that_ends_a_thread_is_told_and_the_hosts_hook_still_runs(told, before):
    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    assert told == [("uncaught", "ValueError", "worker")]
    assert before == ["thread"]


def test_system_exit_of_a_thread_is_no_failure(told):
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert told == []


def test_an_unraisable_exception_is_told(told, before):
    class Fails:
        def __del__(self):
            raise OSError

    Fails()
    gc.collect()
    assert told == [("unraisable", "OSError", threading.current_thread().name)]
    assert before == ["unraisable"]


def test_the_main_hook_is_chained(told, before):
    error = KeyError("k")
    sys.excepthook(KeyError, error, None)
    assert told == [("uncaught", "KeyError", threading.current_thread().name)]
    assert before == ["main"]


def test_the_last_sink_puts_the_hooks_back(before):
    original = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    hooks.add(sink := lambda *_: None)
    assert sys.excepthook is not original[0]
    hooks.remove(sink)
    assert (sys.excepthook, threading.excepthook, sys.unraisablehook) == original


def test_a_hook_that_somebody_set_after_us_stays(before):
    hooks.add(sink := lambda *_: None)
    theirs = lambda *args: None  # noqa: E731
    sys.excepthook = theirs
    hooks.remove(sink)
    assert sys.excepthook is theirs


def test_a_sink_that_raises_does_not_stop_the_hosts_hook(before):
    def broken(*_args):
        raise RuntimeError

    hooks.add(broken)
    sys.excepthook(ValueError, ValueError(), None)
    hooks.remove(broken)
    assert before == ["main"]


def test_a_hook_that_wrapped_ours_stays_and_after_a_new_start_nothing_is_told_twice(before):
    found = []
    hooks.add(first := lambda *_: None)
    ours = sys.excepthook

    @functools.wraps(ours)
    def theirs(*args):
        ours(*args)

    sys.excepthook = theirs
    hooks.remove(first)
    assert sys.excepthook is theirs
    hooks.add(sink := lambda *info: found.append(info))
    sys.excepthook(ValueError, ValueError(), None)
    hooks.remove(sink)
    assert len(found) == 1
    assert before == ["main"]


def test_an_interrupt_that_ends_the_program_is_no_failure_and_reaches_the_hosts_hook(told, before):
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert told == []
    assert before == ["main"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit])
def test_what_must_not_be_swallowed_passes_and_the_hosts_hook_has_run(before, stop):
    def stops(*_info):
        raise stop

    hooks.add(stops)
    try:
        with pytest.raises(stop):
            sys.excepthook(ValueError, ValueError(), None)
    finally:
        hooks.remove(stops)
    assert before == ["main"]


def test_an_unraisable_one_that_comes_of_reading_another_does_not_go_round(before):
    found = []

    class Leaves:
        def __del__(self):
            raise OSError

    def sink(_origin, error, _thread):
        found.append(error.__class__)
        Leaves()
        gc.collect()

    hooks.add(sink)
    Leaves()
    gc.collect()
    hooks.remove(sink)
    assert found == [OSError]
    assert before == ["unraisable"] * 2


def test_an_exception_without_a_value_reaches_the_hosts_hooks(told, before):
    class Arguments:
        exc_type, exc_value, exc_traceback, err_msg, object, thread = ValueError, None, None, None, None, None

    sys.unraisablehook(Arguments)
    threading.excepthook(Arguments)
    assert told == []
    assert before == ["unraisable", "thread"]


def test_a_thread_that_python_did_not_start_gets_no_thread_object(told):
    import _thread

    done = threading.Event()
    counts = []

    def work():
        before = threading.active_count()
        sys.unraisablehook(types.SimpleNamespace(exc_value=ValueError("x")))
        counts.append(threading.active_count() - before)
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(20)
    assert counts == [0]
    assert told == [("unraisable", "ValueError", "")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_the_hosts_hooks_are_back(told, before):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        hooks.after_fork()
        sys.excepthook(ValueError, ValueError(), None)
        os.write(write, f"{len(told)} {before}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"0 ['main']"
    os.close(read)
    os.close(write)


def test_an_uncaught_exception_of_a_real_program_is_told_and_printed_as_ever():
    program = """
import sys
from beamlens.probes import hooks
hooks.add(lambda origin, error, thread: print(origin, type(error).__name__, thread, flush=True))
raise LookupError("gone")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout.split() == ["uncaught", "LookupError", "MainThread"]
    assert done.stderr.splitlines()[-1] == "LookupError: gone"
