from __future__ import annotations

import threading

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import ExceptionDomain
from beamlens.evidence import Strength
from beamlens_actors.testing import FakeClock


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    made = ExceptionDomain()
    made.recorder.install()
    yield made
    made.close()


def die(error, name):
    def work():
        raise error

    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()


def active(bank, clock, domain):
    bank.feed(clock.monotonic(), domain.sense())
    return {state.name: state for state in bank.active()}


def test_a_thread_that_an_exception_ended_wakes_the_sensor_once_for_a_minute(domain):
    with FakeClock() as clock:
        bank = SensorBank(domain.sensors)
        assert active(bank, clock, domain) == {}
        die(KeyError("k"), "mailer")
        state = active(bank, clock, domain)["thread_death"]
        assert (state.severity, state.anomaly_type) == ("warning", "uncaught_exception")
        assert state.reason == "1 thread was ended by an uncaught exception in the last minute"
        clock.advance(61)
        assert active(bank, clock, domain) == {}


def test_the_line_and_the_thread_are_named(domain):
    with FakeClock() as clock:
        die(KeyError("k"), "mailer")
        state = active(SensorBank(domain.sensors), clock, domain)["thread_death"]
        (piece,) = domain.evidence(state)
        assert (piece.cause, piece.strength) == ("uncaught_exception", Strength.CONCLUSIVE)
        assert (piece.place.file, piece.place.function) == (__file__, "die.<locals>.work")
        assert piece.text.startswith("1 thread (mailer) ended by KeyError at ")


def test_deaths_of_one_kind_are_one_piece_and_a_dependency_is_only_supposed(domain):
    with FakeClock() as clock:
        for number in range(3):
            die(ConnectionRefusedError("refused"), f"w{number}")
        state = active(SensorBank(domain.sensors), clock, domain)["thread_death"]
        (piece,) = domain.evidence(state)
        assert (piece.cause, piece.strength, piece.data["count"]) == ("failing_dependency", Strength.SUPPORTING, 3)
        assert "(w0, w1, w2)" in piece.text


def test_an_exception_that_is_logged_wakes_no_thread_death(domain):
    import logging

    log = logging.getLogger("host.deaths")
    log.handlers, log.propagate = [logging.NullHandler()], False
    try:
        with FakeClock() as clock:
            try:
                raise KeyError
            except KeyError:
                log.exception("x")
            assert active(SensorBank(domain.sensors), clock, domain) == {}
    finally:
        log.handlers, log.propagate = [], True
