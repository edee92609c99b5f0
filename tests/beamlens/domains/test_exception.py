from __future__ import annotations

import logging
import threading

import pytest

from beamlens.domains import ExceptionDomain
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_supervision import Supervisor

log = logging.getLogger("host.service")


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    made = ExceptionDomain()
    supervisor = Supervisor.start(made.children())
    yield made
    supervisor.stop()
    made.close()


class OrderError(Exception):
    pass


def fail(number=0):
    raise OrderError(f"order {number} is wrong")


def handle(number=0):
    try:
        fail(number)
    except OrderError:
        log.exception("handled")


def test_it_keeps_its_contract(domain):
    handle()
    check_domain(domain)


def test_a_handled_exception_is_counted_with_its_place(domain):
    handle(7)
    (row,) = domain.recent()
    assert (row["kind"], row["level"], row["message"]) == ("error", "ERROR", "order 7 is wrong")
    assert row["type"].endswith("OrderError")
    assert row["at"].startswith(f"{__file__}:")
    assert row["at"].endswith(" fail")
    assert domain.snapshot()["by_kind"] == {"error": 1, "exit": 0, "throw": 0}


def test_an_uncaught_one_is_counted_as_exit(domain):
    thread = threading.Thread(target=fail, name="worker-7")
    thread.start()
    thread.join()
    (row,) = domain.recent(5, "exit")
    assert (row["thread"], row["level"]) == ("worker-7", "CRITICAL")


def test_one_exception_that_is_logged_by_two_layers_and_ends_its_thread_is_one(domain):
    def work():
        try:
            fail()
        except OrderError:
            log.exception("inner layer")
            log.error("outer layer", exc_info=True)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert domain.snapshot()["total_5m"] == 1
    assert [row["kind"] for row in domain.recent()] == ["exit", "error"]


def test_equal_exceptions_one_after_the_other_are_not_taken_for_one(domain):
    for _ in range(50):
        handle(1)
    assert domain.snapshot()["total_5m"] == 50


def test_the_stack_is_kept_as_text_and_found_by_id(domain):
    try:
        try:
            fail(1)
        except OrderError as error:
            raise KeyError("outer") from error
    except KeyError:
        log.exception("x")
    found = domain.stacktrace(domain.recent()[0]["id"])
    assert found["type"] == "KeyError"
    assert found["caused_by"][0].endswith("OrderError: order 1 is wrong")
    assert found["frames"][0].startswith(__file__)
    assert domain.stacktrace("999")["error"] == "not_found"


def test_exceptions_are_found_by_type_and_text_and_kinds_are_checked(domain):
    handle(3)
    assert len(domain.by_type("OrderError")) == 1
    assert domain.by_type("KeyError") == []
    assert len(domain.search("order 3")) == 1
    assert domain.recent(5, "nope")["message"] == "kind='nope'; the choices are: error, exit, throw"


@pytest.mark.parametrize("message", ["__str__ fails"])
def test_an_exception_whose_str_fails_is_kept(domain, message):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError(message)

    handlers, log.handlers, log.propagate = log.handlers, [logging.NullHandler()], False
    try:
        raise Silent
    except Silent:
        log.error("x", exc_info=True)
    finally:
        log.handlers, log.propagate = handlers, True
    assert domain.recent()[0]["message"] == "<no text: __str__ failed>"


def test_a_recursion_error_keeps_its_innermost_frames(domain):
    def deeper():
        deeper()

    handlers, log.handlers, log.propagate = log.handlers, [logging.NullHandler()], False
    try:
        deeper()
    except RecursionError:
        log.error("x", exc_info=True)
    finally:
        log.handlers, log.propagate = handlers, True
    assert len(domain.stacktrace("1")["frames"]) == 64


def test_nothing_but_text_is_kept(domain):
    import gc
    import weakref

    class Big:
        pass

    def work():
        big = Big()
        reference = weakref.ref(big)
        try:
            raise OrderError
        except OrderError:
            log.exception("x")
        return reference

    # pytest's own handler keeps records, and they the exception.
    handlers, log.handlers, log.propagate = log.handlers, [logging.NullHandler()], False
    try:
        reference = work()
    finally:
        log.handlers, log.propagate = handlers, True
    gc.collect()
    assert reference() is None


def test_a_burst_of_one_kind_at_one_line_is_conclusive(domain):
    for number in range(10):
        handle(number)
    (piece,) = domain.evidence(None)
    assert (piece.cause, piece.strength, piece.place.function) == ("exception_burst", Strength.CONCLUSIVE, "fail")
