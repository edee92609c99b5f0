from __future__ import annotations

import logging
import os
import pickle
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.exception import ExceptionStore
from beamlens.domains.exception.recorder import ExceptionRecorder
from beamlens.probes.exceptions import describe
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildSpec, Supervisor


@pytest.fixture
def log():
    logger = logging.getLogger("host.exceptions")
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    yield logger
    logger.handlers, logger.propagate = [], True


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    made = ExceptionRecorder()
    made.install()
    yield made
    made.uninstall()


def take(recorder, error, kind="error"):
    if kind == "error":
        recorder.logged(error, describe(error), 40, "main", "", "")
    else:
        recorder.uncaught("uncaught" if kind == "exit" else "unraisable", error, "main")


def test_each_instance_counts_one_exception_for_itself(recorder, log):
    other = ExceptionRecorder()
    other.install()
    try:
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("x")
            log.exception("again")
    finally:
        other.uninstall()
    assert (recorder.counts()["error"], other.counts()["error"]) == (1, 1)


def test_an_exception_that_came_from_another_process_counts_here(recorder, monkeypatch):
    error = ValueError("x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        recorder.install()
        take(recorder, error)
        take(recorder, error)
    recorder.install()
    take(recorder, pickle.loads(pickle.dumps(error)))
    assert recorder.counts()["error"] == 2


def test_one_that_was_logged_and_then_ended_its_thread_counts_once_as_exit(recorder, log):
    def work():
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("x")
            raise

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert recorder.counts() == {"error": 0, "exit": 1, "throw": 0}
    assert [(one.kind, one.again) for one in recorder.recorded()] == [("exit", True), ("error", False)]


def test_a_hosts_hook_that_logs_what_it_gets_adds_nothing(log, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", lambda *info: log.critical("uncaught", exc_info=info))
    recorder = ExceptionRecorder()
    recorder.install()
    try:
        error = ValueError("x")
        sys.excepthook(ValueError, error, None)
    finally:
        recorder.uninstall()
    assert recorder.counts() == {"error": 0, "exit": 1, "throw": 0}


class Odd(Exception):
    @property
    def __dict__(self):
        raise RuntimeError


class Slotted(Exception):
    __slots__ = ()


@pytest.mark.parametrize("kind", [Odd, Slotted, KeyError, OSError, lambda: ExceptionGroup("g", [ValueError()])])
def test_exceptions_of_any_make_are_taken(recorder, kind):
    take(recorder, kind())
    assert recorder.counts()["error"] == 1


@given(
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from(["error", "exit", "throw"]), st.booleans()), max_size=40)
)
def test_kinds_add_up_to_the_total_in_any_window(steps):
    with FakeClock(epoch=1_000_000.0) as clock:
        recorder, times = ExceptionRecorder(), []
        for tenths, kind, logged_before in steps:
            clock.advance(tenths / 10)
            error = ValueError("x")
            if logged_before:
                take(recorder, error)
            take(recorder, error, kind)
            times.append(int(clock.time()))
        expected = sum(1 for time in times if time > int(clock.time()) - 300)
        assert recorder.total(300) == expected
        assert sum(recorder.counts(300).values()) == expected


def test_what_fell_out_of_the_ring_is_counted_and_the_span_shrinks():
    with FakeClock() as clock:
        recorder = ExceptionRecorder(ring=10)
        for number in range(30):
            take(recorder, ValueError(str(number)))
            clock.advance(0.1)
        assert recorder.dropped() == 20
        assert recorder.span(20.0) == pytest.approx(1.0)
        assert len({one.id for one in recorder.recorded()}) == 10


def test_the_store_takes_tap_and_hooks_out_at_its_end():
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.Logger.callHandlers)
    recorder = ExceptionRecorder()
    supervisor = Supervisor.start([ChildSpec("ExceptionStore", ExceptionStore.start, (recorder,))])
    during = (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.Logger.callHandlers)
    supervisor.stop()
    assert not set(before) & set(during)
    assert (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.Logger.callHandlers) == before


class FragileStore(ExceptionStore):
    def on_receive(self, message):
        raise RuntimeError(message)


def test_threads_lose_no_exception_while_a_handler_of_the_store_crashes_it_again_and_again(log):
    recorder = ExceptionRecorder()
    spec = ChildSpec("ExceptionStore", FragileStore.start, (recorder,), shutdown=1.0)
    supervisor = Supervisor.start([spec], max_restarts=1000, max_seconds=1)
    go, done, crashed = threading.Event(), threading.Event(), set()

    def crash():
        while not done.is_set() and len(crashed) < 20:
            store = supervisor.child("ExceptionStore")
            if store is not None and store.is_alive() and store not in crashed:
                store.tell("boom")
                crashed.add(store)
                if len(crashed) > 3:
                    go.set()

    def work():
        go.wait(20)
        for _ in range(80):
            try:
                raise ValueError("always the same")
            except ValueError:
                log.exception("x")

    threads = [threading.Thread(target=work) for _ in range(5)]
    crasher = threading.Thread(target=crash)
    try:
        for thread in (*threads, crasher):
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        done.set()
        crasher.join()
        supervisor.stop()
        recorder.uninstall()
    assert recorder.counts()["error"] == len(recorder.recorded()) == 400
