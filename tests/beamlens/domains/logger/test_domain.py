from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.detect import SensorBank
from beamlens.domains import LoggerDomain
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def domain(clock):
    made = LoggerDomain()
    made.recorder.since = clock.time()
    return made


def put(domain, clock, text="x", level=logging.ERROR, line=1, error=None, name="host"):
    domain.recorder.record((clock.time(), level, name, text, "/app/shop/pay.py", line, "charge", error))


def run(seconds_of_errors, phase):
    """The reasons why the burst sensor woke, when errors come as given by second, read every second at a phase."""
    with FakeClock(epoch=1_700_000_000.0 + phase) as clock:
        domain = LoggerDomain()
        bank = SensorBank(domain.sensors)
        woke = []
        for errors in seconds_of_errors:
            for _ in range(errors):
                put(domain, clock)
                clock.advance(1 / max(errors, 1))
            if not errors:
                clock.advance(1.0)
            woke += [(clock.monotonic(), state) for state in bank.feed(clock.monotonic(), domain.sense())]
        return woke


phases = st.floats(0, 0.99)


@settings(deadline=None, max_examples=25)
@given(phases)
def test_three_errors_a_second_for_four_seconds_are_a_burst_within_eight(phase):
    quiet = 30
    woke = run([0] * quiet + [3] * 4 + [0] * 6, phase)
    assert woke
    assert woke[0][0] - 1000.0 - quiet <= 8


@settings(deadline=None, max_examples=10)
@given(phases, st.integers(0, 59))
def test_one_error_a_minute_is_none(phase, when):
    assert run(([0] * when + [1] + [0] * (59 - when)) * 5, phase) == []


@pytest.mark.parametrize("errors", [[1], [2], [5], [1, 0, 1], [2, 2]])
def test_a_handful_of_errors_at_once_is_none(errors):
    assert run([0] * 30 + errors + [0] * 20, 0.5) == []


def test_a_service_that_always_logs_two_errors_a_second_is_left_alone_until_it_gets_worse():
    assert run([2] * 60, 0.5) == []
    assert run([2] * 60 + [9] * 6, 0.5)


def test_errors_hidden_by_chatter_are_still_explained(domain, clock):
    for number in range(12):
        put(domain, clock, f"no answer for order {number}")
        for _ in range(500):
            put(domain, clock, "chat", logging.INFO, line=2)
        clock.advance(0.5)
    (piece,) = domain.evidence(None)
    assert "12 of 12 error records in the last 20 s come from shop/pay.py:1 in charge" in piece.text


def test_the_sentence_tells_the_time_that_it_really_covers(domain, clock):
    for _ in range(2000):
        put(domain, clock)
        clock.advance(0.01)
    (piece,) = domain.evidence(None)
    assert piece.text.startswith("500 of 500 error records in the last 5 s")


def test_a_few_exceptions_among_many_other_errors_are_not_blamed(domain, clock):
    from beamlens.probes.exceptions import describe

    for number in range(60):
        put(domain, clock, "disk quota reached", line=5)
        if number % 10 == 0:
            put(domain, clock, "other", line=9, error=describe(ConnectionRefusedError("refused")))
    (piece,) = domain.evidence(None)
    assert (piece.cause, piece.strength, piece.place.line) == ("error_burst", Strength.SUPPORTING, 5)


def test_counts_by_level_are_those_of_the_minute_and_not_of_the_ring(domain, clock):
    for _ in range(3000):
        put(domain, clock, level=logging.INFO)
    put(domain, clock, level=logging.CRITICAL)
    stats = domain.callbacks()["logger_stats"]()
    assert stats["by_level"] == {"INFO": 3000, "CRITICAL": 1}
    assert (stats["total"], stats["errors"]) == (3001, 1)
    assert [(site["at"], site["count"]) for site in stats["top_sites"]] == [("/app/shop/pay.py:1", 1)]
    snapshot = domain.snapshot()
    assert (snapshot["dropped"], snapshot["ring_size"]) == (2001, 1000)
    clock.advance(61)
    assert domain.snapshot()["total_count_1m"] == 0


def test_errors_and_their_levels_are_found_behind_chatter(domain, clock):
    put(domain, clock, "bad")
    for _ in range(1200):
        put(domain, clock, "chat", logging.INFO)
    assert [row["text"] for row in domain.errors(5)] == ["bad"]
    assert [row["text"] for row in domain.recent(5, "ERROR")] == ["bad"]
    assert domain.excerpt(5) == ["ERROR host: bad"]


def test_a_record_with_an_impossible_time_is_shown_without_one(domain, clock):
    domain.recorder.record((float("nan"), 40, "host", "x", "/a.py", 1, "f", None))
    assert domain.recent(1)[0]["time"] is None
    check_domain(domain)
