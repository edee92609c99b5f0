from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.domains.histogram import Histogram
from beamlens.domains.requests.book import MOST_ROUTES, OTHER, Book
from beamlens.evidence import Place
from beamlens.probes.request_context import InboundRequest
from beamlens_actors.testing import FakeClock


def answered(path="/", took=0.1, status=200, outcome="ok", **more):
    made = InboundRequest("http", "GET", path, **more)
    made.took, made.status, made.outcome = took, status, outcome
    made.end()
    return made


@given(st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_is_off_by_at_most_five_per_cent(times, share):
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    assert histogram.percentile(share) == pytest.approx(exact, rel=0.05)


@given(st.lists(st.lists(st.floats(0.0, 1e9), max_size=30), max_size=5))
def test_merged_histograms_are_that_of_all_times(parts):
    merged, whole = Histogram(), Histogram()
    for part in parts:
        one = Histogram()
        for seconds in part:
            one.add(seconds)
            whole.add(seconds)
        merged.merge(one)
    assert (merged.bins, merged.count) == (whole.bins, whole.count)
    assert merged.percentile(0.5) == whole.percentile(0.5)


def test_without_times_there_is_no_percentile():
    assert Histogram().percentile(0.5) is None


def test_a_minute_later_a_route_is_quiet_and_its_numbers_are_gone():
    with FakeClock() as clock:
        book = Book()
        book.enter(answered("/a"))
        clock.advance(30)
        book.enter(answered("/a"))
        assert book.routes()["GET /a"].count == 2
        assert book.routes(10)["GET /a"].count == 1
        clock.advance(50)
        assert book.routes()["GET /a"].count == 1
        clock.advance(60)
        assert book.routes() == {}


def test_routes_beyond_the_bound_are_one_until_quiet_ones_make_room():
    def name(number):
        return "/" + "".join(chr(ord("a") + int(digit)) for digit in str(number))

    with FakeClock() as clock:
        book = Book()
        for number in range(MOST_ROUTES + 50):
            book.enter(answered(name(number)))
        assert len(book.names()) == MOST_ROUTES + 1
        assert book.routes()[OTHER].count == 50
        clock.advance(120)
        book.enter(answered("/zzz"))
        assert book.names() == ["GET /zzz"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 8), st.floats(0.0, 10.0), st.sampled_from([200, 404, 500])), max_size=100))
def test_every_request_is_in_exactly_one_route_and_status(entries):
    with FakeClock() as clock:
        book = Book()
        for step, took, status in entries:
            clock.advance(step / 100)
            book.enter(answered(f"/r{step}", took, status, "error" if status == 500 else "ok"))
        routes = book.routes()
        assert sum(tally.count for tally in routes.values()) == len(entries)
        assert sum(sum(tally.statuses.values()) for tally in routes.values()) == len(entries)
        errors = sum(status == 500 for _, _, status in entries)
        assert sum(tally.errors for tally in routes.values()) == errors == len(book.failed())


def test_the_times_of_a_route_are_remembered_for_good():
    with FakeClock() as clock:
        book = Book()
        for took in (1.0, 2.0, 3.0):
            book.enter(answered("/a", took))
            clock.advance(70)
        ever = book.ever("GET /a")
        assert ever.count == 3
        assert ever.percentile(1.0) == pytest.approx(3.0, rel=0.05)
        assert book.ever("GET /b") is None


def test_the_slowest_of_every_five_seconds_are_kept_slowest_first():
    with FakeClock() as clock:
        book = Book()
        for number in range(100):
            book.enter(answered("/a", took=number / 10))
        clock.advance(6)
        book.enter(answered("/b", took=9.85))
        found = [(name, request.took) for name, request in book.slow()]
        assert found[:3] == [("GET /a", 9.9), ("GET /b", 9.85), ("GET /a", 9.8)]
        assert len(found) == 11
        clock.advance(301)
        assert book.slow() == []


def test_calls_of_several_requests_are_summed_by_statement_and_line():
    place = Place(file="views.py", line=88)
    book = Book()
    for _ in range(2):
        made = InboundRequest("http", "GET", "/")
        for _ in range(41):
            made.add_sql(0.5, "SELECT 1", place)
        made.add_sql(0.25)
        made.took = 21.0
        made.end()
        book.enter(made)
    tally = book.routes()["GET /"]
    assert tally.sql == [84, 41.5]
    assert [(call.what, call.place, numbers) for call, numbers in tally.calls.items()] == [
        ("SELECT 1", place, [2, 82, 41.0])
    ]


def test_a_clock_that_steps_back_loses_nothing():
    with FakeClock() as clock:
        book = Book()
        book.enter(answered("/a"))
        clock.advance(20)
        book.enter(answered("/a"))
        book._routes["GET /a"].slots[-1] = (
            book._routes["GET /a"].slots[-1][0] + 1,
            book._routes["GET /a"].slots[-1][1],
        )
        book.enter(answered("/a"))
        assert sum(tally.count for _, tally in book._routes["GET /a"].slots) == 3
