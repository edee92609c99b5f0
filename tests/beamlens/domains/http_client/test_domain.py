from __future__ import annotations

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import HttpClientDomain
from beamlens.domains.http_client import call as calls
from beamlens.domains.http_client.call import Call
from beamlens.evidence import CauseKind, Strength
from beamlens.probes.call_site import Site
from beamlens.testing import check_domain
from beamlens_actors import clock
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor

SITE = Site("/app/shop/gateway.py", 37, "charge")


class Client:
    """The domain, its sensors on a clock of their own, and a program that makes calls of any length."""

    def __init__(self, domain, clock_):
        self.domain, self.clock = domain, clock_
        self.bank = SensorBank(domain.all_sensors())
        self.second = 0

    def call(self, host="api", path="/charge", took=0.02, status=200, error=None, count=1, site=SITE, **fields):
        for _ in range(count):
            call = self.hang(host, path, site=site, **fields)
            call.began -= took
            call.at -= took
            if error is None:
                calls.answered(call, status)
                call.first_byte = took
            calls.finish(call, error)

    def hang(self, host="api", path="/charge", since=0.0, site=SITE, **fields):
        call = Call("urllib3", "GET", host, path, site)
        call.began -= since
        call.at -= since
        for name, value in fields.items():
            setattr(call, name, value)
        self.domain.recorder.begun(call)
        return call

    def look(self, seconds=1, each=lambda: None):
        """Let seconds pass, with something in each; returns the sensors that are active."""
        for _ in range(seconds):
            each()
            self.clock.advance(1)
            self.second += 1
            self.bank.feed(float(self.second), self.domain.sense())
        return {state.name: state for state in self.bank.active()}


@pytest.fixture
def client(monkeypatch):
    with FakeClock() as clock_:
        domain = HttpClientDomain()
        domain.recorder.install()
        yield Client(domain, clock_)
        domain.close()


def test_the_contract_is_kept_recording_or_not(client):
    check_domain(client.domain)
    client.call(count=3)
    client.call(error=TimeoutError())
    check_domain(client.domain)
    client.domain.close()
    check_domain(client.domain)
    assert client.domain.snapshot()["count_1m"] is None


def test_a_host_that_begins_to_fail_is_found_with_kind_route_and_line(client):
    client.look(20, lambda: client.call(count=4))
    active = client.look(6, lambda: client.call(count=4, error=ConnectionRefusedError(), took=0.001))
    assert active["failing_host"].reason.startswith("the share of failed calls to api rose to ")
    (piece,) = client.domain.evidence(active["failing_host"])
    assert (piece.cause, piece.strength) == (CauseKind.FAILING_DEPENDENCY, Strength.CONCLUSIVE)
    assert (piece.place, piece.data["kind"]) == (SITE.place, "refused")
    assert "GET api/charge" in piece.text
    assert "the connection was refused (24) [ConnectionRefusedError]" in piece.text


def test_a_host_that_fails_from_the_beginning_is_found(client):
    active = client.look(5, lambda: client.call(count=3, status=500))
    assert "what is usual is not known yet" in active["failing_host"].reason


def test_a_host_that_is_called_seldom_and_fails_each_time_is_found(client):
    for _ in range(10):
        assert client.look(60, lambda: None) == {}
        client.call("billing")
    seen = []
    for _ in range(7):
        client.call("billing", error=ConnectionRefusedError(), took=0.001)
        seen.append(sorted(client.look(60)))
    assert seen == [[], [], [], [], [], ["failing_host"], ["failing_host"]]
    (state,) = client.look().values()
    assert state.reason == "the last 7 calls to billing, in 360 s, failed without exception"
    (piece,) = client.domain.evidence(state)
    assert piece.text.startswith("7 of 7 calls to billing failed in the last 422 s: the connection was refused (7)")
    assert (piece.cause, piece.strength) == (CauseKind.FAILING_DEPENDENCY, Strength.CONCLUSIVE)
    client.call("billing")
    assert client.look(3) == {}


def test_a_host_that_is_called_seldom_and_often_fails_is_judged_by_its_past(client):
    for number in range(60):
        client.call("flaky", error=None if number % 3 == 0 else TimeoutError())
        assert client.look(30) == {}
    for _ in range(10):
        client.call("flaky", error=TimeoutError())
        assert client.look(30) == {}


def test_a_failing_host_is_found_beside_a_busy_healthy_one(client):
    def both():
        client.call("shop", count=40)
        client.call("api", count=2, error=TimeoutError())

    assert list(client.look(8, both)) == ["failing_host"]


def test_a_host_that_gets_slow_is_found_with_route_and_line(client):
    client.look(20, lambda: client.call(count=4))
    active = client.look(12, lambda: client.call(count=4, took=0.9))
    assert list(active) == ["slow_host"]
    (piece,) = client.domain.evidence(active["slow_host"])
    assert (piece.cause, piece.strength, piece.place) == (
        CauseKind.SLOW_DEPENDENCY, Strength.CONCLUSIVE, SITE.place,
    )  # fmt: skip
    assert "instead of a usual 2" in piece.text
    assert "100 % of it until the first byte" in piece.text


def test_a_call_that_hangs_without_a_timeout_says_so(client):
    client.call(count=5)
    client.hang(since=31.0, limit="none")
    active = client.look()
    assert active["hanging_call"].reason.endswith("without an answer; it has no timeout set")
    (piece,) = client.domain.evidence(active["hanging_call"])
    assert (piece.strength, piece.place) == (Strength.CONCLUSIVE, SITE.place)
    assert "no timeout is set on 1 of them, so they may hang for ever: set one" in piece.text


def test_calls_that_usually_take_long_do_not_hang(client):
    client.call(took=40.0, count=5)
    client.hang(since=60.0)
    assert client.look(5) == {}


def test_a_first_call_of_which_nothing_is_known_has_twice_the_time(client):
    client.hang(since=50.0)
    assert "hanging_call" not in client.look(5)
    client.hang(since=61.0)
    assert "hanging_call" in client.look(1)


def test_an_answer_that_streams_for_long_does_not_hang(client):
    call = client.hang(since=3600.0)
    calls.answered(call, 200)
    assert client.look(5) == {}


def test_calls_that_pile_up_are_found_before_they_hang(client):
    client.look(15, lambda: client.call(count=5))
    for _ in range(6):
        client.hang(since=5.0)
    active = client.look(5)
    assert list(active) == ["pile_up"]
    assert active["pile_up"].reason.startswith("6 of 6 outgoing calls in flight take longer than usual, 6 of them to")


def test_a_wait_for_the_pool_names_the_line_that_keeps_its_connections(client):
    keeper = Site("/app/shop/export.py", 12, "export")
    for _ in range(2):
        calls.answered(client.hang(since=20.0, site=keeper), 200)
    active = client.look(5, lambda: client.hang(since=2.0, stage="pool"))
    assert "pool_wait_ms_threshold" in active
    (piece,) = client.domain.evidence(active["pool_wait_ms_threshold"])
    assert (piece.cause, piece.strength, piece.place) == (
        CauseKind.HTTP_POOL_EXHAUSTED, Strength.CONCLUSIVE, keeper.place,
    )  # fmt: skip
    assert "2 of them with an answer that is not read to its end" in piece.text


def test_a_busy_healthy_program_is_quiet(client):
    def wave():
        client.call("api", count=5 + 3 * (client.second % 7), took=0.02 + 0.005 * (client.second % 5))
        client.call("slow.example", count=2, took=1.5)
        client.call("api", count=1, status=404)
        if client.second % 20 == 0:
            client.call("api", error=ConnectionResetError())

    seen = set()
    for _ in range(120):
        seen |= set(client.look(1, wave))
    assert seen == set()


def test_callbacks_answer_with_the_choices(client):
    client.call("api", "/orders/17", count=3)
    client.call("shop", "/orders/18", took=0.5, error=TimeoutError())
    client.hang("api", "/slow", since=5.0, limit="none")
    found = client.domain.callbacks()
    assert [row["host"] for row in found["http_client_hosts"]()] == ["shop", "api"]
    assert [row["host"] for row in found["http_client_hosts"](1, "count")] == ["api"]
    assert found["http_client_hosts"](5, "name")["message"] == (
        "sort_by='name'; the choices are: time, count, p95, errors, in_flight"
    )
    assert found["http_client_routes"](1, "errors")[0]["route"] == "GET shop/orders/{id}"
    one = found["http_client_host"]("api")
    assert (one["count"], one["in_flight"], one["lines"][0]["at"]) == (3, 1, str(SITE))
    assert found["http_client_host"]("nobody")["message"] == "host='nobody'; the hosts are: api, shop"
    (hanging,) = found["http_client_in_flight"]()
    assert (hanging["timeout"], hanging["stage"], hanging["at"]) == ("none", "wire", str(SITE))
    assert [row["error"] for row in found["http_client_errors"]()] == ["timeout"]
    assert [row["took_ms"] > 400 for row in found["http_client_slow"]()] == [True, False, False, False]
    assert client.domain.excerpt() == [
        f"in flight: GET api/slow for 5.0 s at {SITE}",
        f"failed: GET shop/orders/{{id}} timeout TimeoutError at {SITE}",
    ]


def test_the_store_outlives_a_crash_without_losing_the_recording():
    from beamlens.domains.http_client import taps

    domain = HttpClientDomain()
    supervisor = Supervisor.start(domain.children())
    ref = supervisor.child("HttpClientStore")
    ref.kill()
    ref.join()
    assert taps.heard()
    supervisor.stop()
    assert taps.heard() == []


@pytest.mark.parametrize("wrong", [0, -1.0, "30", True, None])
def test_a_wrong_bound_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match="stuck_after must be seconds above 0"):
        HttpClientDomain(stuck_after=wrong)


def test_what_ended_while_nobody_looked_is_counted_as_dropped(client):
    for _ in range(10_010):
        call = client.hang()
        calls.finish(call)
    assert client.domain.snapshot()["dropped"] == 10
    assert clock.time() > 0
