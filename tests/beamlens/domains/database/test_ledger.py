from __future__ import annotations

import statistics
from collections import deque
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.database.figures import percentile
from beamlens.domains.database.fingerprint import Fingerprints
from beamlens.domains.database.ledger import Ledger
from beamlens.domains.database.repeats import Repeats
from beamlens.probes.call_site import Site
from beamlens_actors.testing import FakeClock

SITE = Site("/app/views.py", 88, "list_orders")


@pytest.fixture
def clock():
    with FakeClock(epoch=1_700_000_000.5) as fake:
        yield fake


@pytest.fixture
def ledger():
    return Ledger(Fingerprints("postgresql"))


def put(ledger, *texts, seconds=0.001, site=SITE, group=1, error="", rows=1):
    now = perf_counter()
    ledger.fold(deque((now, (text, site, now - seconds), group, rows, 0.0, error, False, None) for text in texts))


def test_a_window_of_one_minute_forgets_after_one_minute(clock, ledger):
    put(ledger, "SELECT 1", seconds=0.5)
    clock.advance(59)
    put(ledger, "SELECT 2", seconds=0.01, error="Oops")
    totals = ledger.totals()
    assert (totals.count, totals.slow, totals.errors, totals.rows) == (2, 1, 1, 2)
    assert totals.most == pytest.approx(0.5)
    clock.advance(2)
    totals = ledger.totals()
    assert (totals.count, totals.slow, totals.errors, round(totals.most, 6)) == (1, 0, 1, 0.01)
    assert len(ledger.recent()) == 1


def test_whole_seconds_leave_out_the_one_that_has_begun(clock, ledger):
    put(ledger, "SELECT 1")
    assert ledger.totals(2, whole=True).count == 0
    clock.advance(1)
    assert ledger.totals(2, whole=True).count == 1


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=200))
def test_percentiles_interpolate_linearly(values):
    expected = statistics.quantiles(values, n=100, method="inclusive")
    assert percentile(values, 0.95) == pytest.approx(expected[94])
    assert percentile(values, 0.5) == pytest.approx(expected[49])


def test_percentiles_of_few_values():
    assert percentile([], 0.95) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([2.0, 1.0], 0.95) == pytest.approx(1.95)


def test_reads_repeated_by_one_line_in_one_transaction_are_counted_with_their_first_ones(clock, ledger):
    put(ledger, *(f"SELECT * FROM line WHERE order_id = {n}" for n in range(9)))
    assert ledger.totals().repeated == 0
    put(ledger, "SELECT * FROM line WHERE order_id = 9", "SELECT * FROM line WHERE order_id = 10")
    assert ledger.totals().repeated == 11
    (found,) = ledger.repeats()
    assert (found.fingerprint, found.site) == ("SELECT * FROM line WHERE order_id = ?", SITE)
    assert (found.runs, found.statements, found.most) == (1, 11, 11)
    assert found.seconds == pytest.approx(0.011)


@pytest.mark.parametrize("other", [{"group": 2}, {"site": Site("/app/views.py", 99, "f")}])
def test_the_same_read_elsewhere_is_not_a_repeat(clock, ledger, other):
    put(ledger, *["SELECT 1"] * 9)
    put(ledger, *["SELECT 1"] * 9, **other)
    assert ledger.repeats() == []


def test_writes_and_polls_are_no_repeats(clock, ledger):
    put(ledger, *["INSERT INTO t VALUES (1)"] * 50)
    for _ in range(50):
        put(ledger, "SELECT * FROM queue")
        clock.advance(5)
    assert ledger.repeats() == []


@given(st.lists(st.integers(0, 5000), max_size=60))
def test_all_that_is_kept_is_bounded_and_nothing_is_counted_twice(numbers):
    ledger = Ledger(Fingerprints())
    with FakeClock(epoch=1_700_000_000.5) as clock:
        for number in numbers:
            clock.advance(0.5)
            put(ledger, *(f"SELECT {'x' * (number % 700)}_{n}" for n in range(number % 30)), group=number, error="E")
        count = sum(number % 30 for number in numbers)
        assert ledger.folded == count
        assert ledger.totals(120).count == count
        assert len(ledger.fingerprints()) <= 500
        assert len(ledger.errors()) <= 200
        assert len(ledger._repeats._runs) <= 2000


def test_of_many_fingerprints_the_latest_are_kept(clock, ledger):
    for number in range(1200):
        clock.advance(0.01)
        put(ledger, f"SELECT a FROM t{number}")
    prints = {one.fingerprint for one in ledger.fingerprints()}
    assert 250 <= len(prints) <= 500
    assert "SELECT a FROM t1199" in prints
    assert "SELECT a FROM t0" not in prints


def test_statements_are_slower_against_their_own_past_not_against_others(clock, ledger):
    put(ledger, *["SELECT quick"] * 60)
    put(ledger, *["SELECT report"] * 60, seconds=2.0)
    assert ledger.totals().slower == 0
    put(ledger, *["SELECT quick"] * 5, seconds=0.06)
    put(ledger, *["SELECT report"] * 5, seconds=2.5)
    assert ledger.totals().slower == 5
    assert ledger.usual()["SELECT report"] == pytest.approx(2.0, rel=0.05)


def test_what_stays_slow_becomes_usual_in_the_end(clock, ledger):
    put(ledger, *["SELECT a"] * 60)
    put(ledger, *["SELECT a"] * 5000, seconds=0.2)
    before = ledger.totals().slower
    assert before < 5000
    put(ledger, *["SELECT a"] * 10, seconds=0.2)
    assert ledger.totals().slower == before


def test_a_run_that_begins_anew_is_not_the_oldest():
    repeats = Repeats()
    key = 1, "SELECT ?", SITE
    repeats.add(key, 0.0, 0.001, "")
    for number in range(1999):
        repeats.add((number + 2, "SELECT ?", SITE), 5.0, 0.001, "")
    assert repeats.add(key, 10.0, 0.001, "") == 0  # begins anew
    repeats.add((-1, "SELECT ?", SITE), 10.0, 0.001, "")  # pushes the oldest out
    assert [repeats.add(key, 10.0, 0.001, "") for _ in range(9)] == [0] * 8 + [10]


def test_one_slow_statement_among_many_quick_ones_is_seen_by_the_share_of_its_own_runs(clock, ledger):
    put(ledger, *["SELECT a FROM t"] * 60, seconds=0.01)
    put(ledger, *["SELECT 1"] * 900, seconds=0.0005)
    assert ledger.late_pct(10) == 0.0
    put(ledger, *["SELECT a FROM t"] * 60, seconds=0.2)
    clock.advance(1)
    totals = ledger.totals(10, whole=True)
    assert totals.slower / totals.known < 0.1
    assert ledger.late_pct(10) == pytest.approx(50.0)
    clock.advance(20)
    assert ledger.late_pct(10) == 0.0


@pytest.mark.parametrize(("runs", "others"), [(9, 0.0005), (12, 0.1)])
def test_few_late_runs_and_those_that_cost_little_of_the_time_do_not_matter(clock, ledger, runs, others):
    put(ledger, *["SELECT a FROM t"] * 60, seconds=0.001)
    clock.advance(30)
    put(ledger, *["SELECT b FROM t"] * 900, seconds=others)
    put(ledger, *["SELECT a FROM t"] * runs, seconds=0.1)
    clock.advance(1)
    assert ledger.late_pct(10) == 0.0
