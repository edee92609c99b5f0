from __future__ import annotations

import gc
import sys
import threading

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
