from __future__ import annotations

import contextlib
import threading

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import RequestsDomain
from beamlens.evidence import Place, Strength
from beamlens.probes import inbound
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor


class Served:
    """The domain, its sensors on a clock of their own, and a host that serves requests of any length."""

    def __init__(self, domain, clock):
        self.domain = domain
        self.clock = clock
        self.bank = SensorBank(domain.all_sensors())
        self.second = 0

    def serve(self, path="/orders", took=0.01, status=200, kind="http", count=1, outcome="ok", error=None):
        for _ in range(count):
            request = inbound.begin(kind, "task" if kind == "celery" else "GET", path)
            request.began -= took
            request.status = status
            request.outcome = outcome
            if error is not None:
                inbound.fail(request, error)
            inbound.end(request)

    def hang(self, path="/orders", since=0.0, kind="http"):
        request = inbound.begin(kind, "task" if kind == "celery" else "GET", path)
        request.began -= since
        return request

    def look(self, seconds=1, each=lambda: None):
        """Let seconds pass, with something in each; returns the sensors that are active."""
        for _ in range(seconds):
            each()
            self.clock.advance(1)
            self.second += 1
            self.bank.feed(float(self.second), self.domain.sense())
        return {state.name: state for state in self.bank.active()}


@pytest.fixture
def served():
    with FakeClock() as clock:
        domain = RequestsDomain()
        domain.recorder.install()
        yield Served(domain, clock)
        domain.close()


@pytest.fixture
def ended():
    """Requests to be ended at the end of the test."""
    held = []
    yield held
    for request in held:
        inbound.end(request)


def test_it_keeps_its_contract(served, ended):
    check_domain(served.domain)
    served.serve(error=ValueError("x"))
    ended.append(served.hang())
    check_domain(served.domain)


def test_the_store_installs_it_and_takes_it_out():
    domain = RequestsDomain()
    supervisor = Supervisor.start(domain.children())
    assert inbound.listening()
    supervisor.stop()
    assert not inbound.listening()
    assert domain.snapshot()["_unavailable"]["count_1m"] == "no RequestStore runs: nothing is recorded"


def test_what_nobody_says_is_none_with_its_reason(served):
    snapshot = served.domain.snapshot()
    assert (snapshot["queue_p95_ms"], snapshot["p95_ms"], snapshot["sql_pct"]) == (None, None, None)
    assert snapshot["_unavailable"]["p95_ms"] == "no request in the last minute"
    assert "X-Request-Start" in snapshot["_unavailable"]["queue_p95_ms"]


def test_unknown_routes_and_sort_keys_are_answered_with_the_choices(served):
    served.serve("/a")
    assert served.domain.routes(5, "nope")["message"] == (
        "sort_by='nope'; the choices are: time, count, p95, errors, in_flight"
    )
    assert served.domain.route("GET /b") == {
        "error": "not_found",
        "message": "route='GET /b'; the routes are: GET /a",
    }
    assert served.domain.route("GET /a")["count"] == 1


@pytest.mark.parametrize(
    ("key", "first"), [("count", "GET /many"), ("p95", "GET /slow"), ("errors", "GET /bad"), ("time", "GET /slow")]
)
def test_routes_are_sorted_by_what_is_asked(served, key, first):
    served.serve("/many", count=9)
    served.serve("/slow", took=5.0)
    served.serve("/bad", status=500)
    assert served.domain.routes(5, key)[0]["route"] == first


def test_a_route_that_rises_against_its_own_past_is_named(served):
    def usual():
        served.serve("/a", 0.02, count=10)
        served.serve("/b", 0.5, count=10)

    assert served.look(20, usual) == {}
    active = served.look(6, lambda: (served.serve("/a", 0.4, count=10), served.serve("/b", 0.5, count=10)))
    assert set(active) == {"latency_shift"}
    state = active["latency_shift"]
    assert state.reason.startswith("p95 of GET /a (of a few requests the third slowest) rose to 0.387 s")
    assert served.domain._watch.routes_of("latency_shift") == ["GET /a"]


def test_one_slow_request_among_few_is_no_shift(served):
    served.look(30, lambda: served.serve("/a", 0.02))
    served.serve("/a", 5.0, count=2)
    assert served.look(15, lambda: served.serve("/a", 0.02)) == {}


def test_ten_times_the_traffic_with_the_same_times_is_healthy(served):
    served.look(20, lambda: served.serve("/a", 0.05, count=5))
    assert served.look(20, lambda: served.serve("/a", 0.06, count=50)) == {}
    assert served.look(20, lambda: served.serve("/a", 0.05, count=2)) == {}


def test_failures_that_begin_are_told_with_their_exception_and_line(served):
    def fail():
        try:
            raise ValueError("no such order")
        except ValueError as error:
            served.serve("/a", error=error, count=4)
        served.serve("/a", count=6)

    served.look(20, lambda: served.serve("/a", count=10))
    active = served.look(8, fail)
    assert set(active) == {"error_share"}
    (piece,) = served.domain.evidence(active["error_share"])
    assert (piece.cause, piece.strength) == ("exception_burst", Strength.CONCLUSIVE)
    assert piece.place.function.endswith(".fail")
    assert "100 % of them in GET /a" in piece.text


def test_answers_with_404_and_few_failures_are_no_error_share(served):
    served.look(20, lambda: served.serve("/a", count=10))
    assert served.look(20, lambda: (served.serve("/x", status=404, count=20), served.serve("/a"))) == {}
    served.serve("/a", status=500, count=4)
    assert served.look(20) == {}


def test_requests_that_hang_together_are_saturation_then_stuck(served, ended):
    served.look(20, lambda: served.serve("/a", 0.05, count=10))
    ended.extend(served.hang("/a", since=2.0) for _ in range(6))
    active = served.look(5)
    assert "saturation" in active
    assert "6 of 6 requests under way take longer than usual" in active["saturation"].reason
    assert active["saturation"].reason.endswith("most of them are GET /a")
    for request in ended:
        request.began -= 30.0
    active = served.look(1)
    assert active["stuck_request"].severity == "critical"
    assert "usually 48 ms (p95)" in active["stuck_request"].reason


def test_a_stream_that_has_begun_to_answer_is_never_late(served, ended):
    served.look(20, lambda: served.serve("/a", 0.05, count=10))
    for _ in range(6):
        request = served.hang("/a", since=500.0)
        request.responding = True
        ended.append(request)
    assert served.look(5) == {}


def test_a_long_task_is_not_stuck_before_what_is_usual_for_tasks(served, ended):
    ended.append(served.hang("shop.report", since=3000.0, kind="celery"))
    assert served.look(3) == {}
    ended[0].began -= 700.0
    assert set(served.look(1)) == {"stuck_request"}


def test_clients_that_poll_for_a_minute_are_neither_late_nor_stuck(served, ended):
    ended.extend(served.hang("/poll", since=50.0) for _ in range(8))
    assert served.look(8) == {}
    for _ in range(3):
        served.serve("/poll", took=60.0)
        served.look(6)
    ended.extend(served.hang("/poll", since=100.0) for _ in range(8))
    assert served.look(3) == {}


def test_a_rare_route_is_stuck_against_the_longest_that_it_ever_took(served, ended):
    for _ in range(3):
        served.serve("/export", took=20.0)
        served.look(6)
    ended.append(served.hang("/export", since=95.0))
    assert served.look(3) == {}
    ended[0].began -= 10.0
    assert set(served.look(1)) == {"stuck_request"}


def test_a_task_that_takes_some_seconds_more_is_no_shift(served):
    served.look(20, lambda: served.serve("shop.send", 0.5, kind="celery", count=3))
    assert served.look(10, lambda: served.serve("shop.send", 5.0, kind="celery", count=3)) == {}


def test_answers_that_cease_while_requests_pile_up_are_a_collapse(served, ended):
    served.look(30, lambda: served.serve("/a", 0.05, count=10))
    ended.extend(served.hang("/a", since=3.0) for _ in range(5))
    active = served.look(12)
    assert active["throughput_collapse"].severity == "critical"
    assert "while 5 are under way" in active["throughput_collapse"].reason


def test_traffic_that_ends_is_no_collapse(served):
    served.look(30, lambda: served.serve("/a", 0.05, count=10))
    assert served.look(20) == {}


def test_evidence_names_the_line_at_which_requests_wait(served):
    lock, inside = threading.Lock(), threading.Barrier(4)

    def reserve():
        inside.wait(30.0)
        with lock:
            pass

    def work():
        request = served.hang("/a", since=5.0)
        reserve()
        inbound.end(request)

    with lock:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        inside.wait(30.0)
        served.domain.sense()
        found = []
        asking = threading.Thread(target=lambda: found.extend(why_slow(served, "saturation")))
        asking.start()
        while asking.is_alive():
            served.clock.advance(0.02)
            asking.join(0.001)
    for thread in threads:
        thread.join(30.0)
    (piece,) = found
    assert (piece.cause, piece.strength) == ("slow_line", Strength.CONCLUSIVE)
    assert piece.place.function.endswith(".reserve")


def why_slow(served, name):
    from beamlens.detect import SensorState

    return served.domain.evidence(SensorState(name, "x", name, "warning", "", 0.0, 0.0))


@pytest.mark.parametrize(
    ("part", "times", "cause"),
    [("sql", 41, "repeated_queries"), ("sql", 1, "slow_query"), ("http", 2, "slow_dependency")],
)
def test_evidence_names_the_call_that_most_of_the_time_goes_into(served, part, times, cause):
    place = Place(file="views.py", line=88, function="orders")
    served.look(20, lambda: served.serve("/a", 0.02, count=10))

    def slow():
        for _ in range(10):
            request = served.hang("/a", since=1.0)
            for _ in range(times):
                getattr(request, f"add_{part}")(0.82 / times, "what", place)
            inbound.end(request)

    active = served.look(6, slow)
    found = []
    asking = threading.Thread(target=lambda: found.extend(served.domain.evidence(active["latency_shift"])))
    asking.start()
    while asking.is_alive():
        served.clock.advance(0.02)
        asking.join(0.001)
    (piece,) = found
    assert (piece.cause, piece.strength, piece.place) == (cause, Strength.CONCLUSIVE, place)
    assert piece.text.startswith("82 % of the time of the ")
    assert "of GET /a in the last 30 s is spent in " in piece.text
    row = served.domain.route("GET /a")
    assert row["calls"][0]["times_a_request"] == float(times)
    assert row["calls"][0]["at"] == "views.py:88"


def test_texts_of_failures_stand_in_the_excerpt(served, ended):
    served.serve("/a", error=ValueError("no such order"))
    ended.append(served.hang("/b", since=7.0))
    assert served.domain.excerpt() == ["under way: GET /b for 7.0 s", "failed: GET /a no such order"]


def test_a_watch_of_many_routes_forgets_the_quiet_ones(served):
    for number in range(400):
        with contextlib.suppress(KeyError):
            served.serve(f"/{chr(97 + number // 26)}{chr(97 + number % 26)}", count=5)
        if number % 40 == 0:
            served.look(1)
    assert len(served.domain._watch._usual) <= 300
