from __future__ import annotations

import logging
import threading

import pytest

from beamlens.domains.logger import LogStore
from beamlens.domains.logger.recorder import LogRecorder
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildSpec, Supervisor


def fields(text="x", level=logging.INFO, name="host", created=None, line=1, file="/app/a.py"):
    from beamlens_actors import clock

    return (clock.time() if created is None else created, level, name, text, file, line, "f", None)


def test_chatter_does_not_push_errors_out():
    recorder = LogRecorder(ring=10)
    recorder.record(fields("bad", logging.ERROR))
    for _ in range(100):
        recorder.record(fields("chat"))
    assert [record.text for record in recorder.errors()] == ["bad"]
    assert (recorder.held(), recorder.dropped(), recorder.ring_size) == (10, 91, 10)


def test_when_more_errors_came_than_are_held_the_span_says_how_far_they_reach():
    with FakeClock() as clock:
        recorder = LogRecorder(error_ring=10)
        for _ in range(30):
            recorder.record(fields(level=logging.ERROR))
            clock.advance(0.1)
        assert recorder.errors_span(20.0) == pytest.approx(1.0)
        assert len(recorder.errors(recorder.errors_span(20.0))) == 10


def test_lines_are_counted_apart_and_the_busiest_comes_first():
    recorder = LogRecorder()
    for _ in range(3):
        recorder.record(fields(level=logging.ERROR, line=7))
    recorder.record(fields(level=logging.WARNING, line=9))
    recorder.record(fields(level=logging.INFO, line=11))
    assert [(site.line, site.level, site.count) for site in recorder.sites()] == [(7, 40, 3), (9, 30, 1)]


def test_loggers_without_end_stay_bounded_and_the_newest_are_known():
    recorder = LogRecorder()
    with FakeClock() as clock:
        for number in range(3000):
            recorder.record(fields(level=logging.ERROR, name=f"request.{number}"))
            clock.advance(0.001)
        names = {site.logger for site in recorder.sites()}
    assert len(names) <= 500
    assert "request.2999" in names


def test_a_logger_counts_as_in_error_for_the_window_only():
    with FakeClock() as clock:
        recorder = LogRecorder()
        recorder.record(fields(level=logging.ERROR, name="a"))
        recorder.record(fields(level=logging.ERROR, name="b"))
        recorder.record(fields(level=logging.WARNING, name="c"))
        assert recorder.error_loggers(60) == 2
        clock.advance(61)
        assert recorder.error_loggers(60) == 0


class FragileStore(LogStore):
    def on_receive(self, message):
        raise RuntimeError(message)


def test_ten_threads_lose_no_record_while_a_handler_of_the_log_store_crashes_it_again_and_again():
    recorder = LogRecorder()
    spec = ChildSpec("LogStore", FragileStore.start, (recorder,), shutdown=1.0)
    supervisor = Supervisor.start([spec], max_restarts=1000, max_seconds=1)
    log = logging.getLogger("host.crashing")
    log.handlers, log.propagate, level = [logging.NullHandler()], False, log.level
    log.setLevel(logging.DEBUG)
    crashed, go, done = set(), threading.Event(), threading.Event()

    def crash():
        while not done.is_set() and len(crashed) < 20:
            store = supervisor.child("LogStore")
            if store is not None and store.is_alive() and store not in crashed:
                store.tell("boom")
                crashed.add(store)
                if len(crashed) > 3:
                    go.set()

    def work(name):
        go.wait(20)
        for number in range(95):
            log.info("%d-%d", name, number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    crasher = threading.Thread(target=crash)
    try:
        for thread in (*workers, crasher):
            thread.start()
        for thread in workers:
            thread.join()
        done.set()
        crasher.join()
        assert {r.text for r in recorder.records()} == {f"{n}-{k}" for n in range(10) for k in range(95)}
        assert (sum(recorder.counts().values()), recorder.dropped()) == (950, 0)
    finally:
        done.set()
        supervisor.stop()
        recorder.uninstall()
        log.handlers, log.propagate = [], True
        log.setLevel(level)


def test_an_orderly_end_of_the_store_takes_the_tap_out():
    recorder = LogRecorder()
    original = logging.Logger.callHandlers
    supervisor = Supervisor.start([ChildSpec("LogStore", LogStore.start, (recorder,))])
    assert logging.Logger.callHandlers is not original
    supervisor.stop()
    assert logging.Logger.callHandlers is original
