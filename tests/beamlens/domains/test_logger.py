from __future__ import annotations

import logging
import threading

import pytest

from beamlens.domains import LoggerDomain
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_supervision import Supervisor

log = logging.getLogger("host.service")


@pytest.fixture
def domain():
    made = LoggerDomain()
    supervisor = Supervisor.start(made.children(), max_restarts=100, max_seconds=1)
    log.setLevel(logging.DEBUG)
    yield made
    supervisor.stop()
    made.close()


@pytest.fixture
def supervised():
    made = LoggerDomain()
    supervisor = Supervisor.start(made.children(), max_restarts=100, max_seconds=1)
    log.setLevel(logging.DEBUG)
    yield made, supervisor
    supervisor.stop()
    made.close()


def test_it_keeps_its_contract(domain):
    log.error("something %s", "bad")
    check_domain(domain)


def test_counts_of_the_last_minute_are_exact_although_the_ring_is_smaller(domain):
    for number in range(1500):
        log.info("record %d", number)
    for _ in range(3):
        log.critical("bad")
    log.warning("hm")
    snapshot = domain.snapshot()
    assert snapshot["total_count_1m"] == 1504
    assert (snapshot["error_count_1m"], snapshot["warning_count_1m"]) == (3, 1)
    assert snapshot["error_rate_pct"] == 0.2
    assert (snapshot["records_held"], snapshot["unique_error_modules"]) == (1000, 1)


def test_the_newest_record_comes_first_and_levels_filter(domain):
    log.info("first")
    log.error("second")
    assert [row["text"] for row in domain.recent(5)] == ["second", "first"]
    assert [row["text"] for row in domain.recent(5, "info")] == ["first"]
    assert domain.recent(5, "LOUD")["error"] == "bad_argument"
    assert [row["text"] for row in domain.errors()] == ["second"]


def test_search_takes_regular_expressions_but_none_that_takes_for_ever(domain):
    log.info("order 17 paid")
    assert [row["text"] for row in domain.search(r"order \d+")] == ["order 17 paid"]
    for pattern in ("(a+)+$", "(", "x" * 300, r"(a)\1", "a*b*c*d*"):
        assert domain.search(pattern)["error"] == "bad_pattern"


def test_records_are_found_by_part_of_the_loggers_name(domain):
    logging.getLogger("host.other").warning("there")
    log.info("here")
    assert [row["text"] for row in domain.by_module("other")] == ["there"]


def test_ten_threads_lose_no_record_that_fits_while_the_log_store_crashes_and_restarts(supervised):
    domain, supervisor = supervised
    done = threading.Event()
    crashes = []

    def crash():
        while not done.is_set() and len(crashes) < 20:  # within what its supervisor restarts
            store = supervisor.child("LogStore")
            if store is not None and store.kill():
                crashes.append(store)

    def work(name):
        for number in range(95):
            log.info("%d-%d", name, number)

    crasher = threading.Thread(target=crash)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    crasher.start()
    while not crashes:
        done.wait(0.001)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    crasher.join()
    assert {record.text for record in domain.recorder.records()} == {f"{n}-{k}" for n in range(10) for k in range(95)}
    assert len(crashes) > 1


def test_when_the_store_ends_in_order_nothing_is_recorded_and_the_metrics_say_so(supervised):
    domain, supervisor = supervised
    supervisor.terminate_child("LogStore")
    log.error("not seen")
    snapshot = domain.snapshot()
    assert snapshot["error_count_1m"] is None
    assert "no LogStore runs" in snapshot["_unavailable"]["error_count_1m"]


def fail(number):
    raise ConnectionRefusedError(f"gateway refused {number}")


def test_a_dependency_that_fails_is_named_with_the_line_that_called_it(domain):
    for number in range(8):
        try:
            fail(number)
        except OSError:
            log.exception("charge %d failed", number)
    (piece,) = domain.evidence(None)
    assert (piece.cause, piece.strength) == ("failing_dependency", Strength.CONCLUSIVE)
    assert (piece.place.file, piece.place.function) == (__file__, "fail")
    assert "8 of 8 error records" in piece.text


def test_errors_without_exceptions_are_only_supporting(domain):
    for number in range(8):
        log.error("cannot do %d", number)
    (piece,) = domain.evidence(None)
    assert (piece.cause, piece.strength) == ("error_burst", Strength.SUPPORTING)
