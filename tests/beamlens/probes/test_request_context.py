from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains import ExceptionDomain, LoggerDomain
from beamlens.evidence import Place
from beamlens.probes import hooks, request_context
from beamlens.probes.request_context import MOST_REPEATS, InboundRequest, current, enter, labels, leave, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
log = logging.getLogger("host.orders")


@pytest.fixture
def request_():
    made = InboundRequest("http", "POST", "/orders/17", traceparent=PARENT)
    outer = enter(made)
    yield made
    made.end()
    leave(made, outer)


def test_code_inside_finds_the_request_and_code_after_it_does_not():
    made = InboundRequest("http", "GET", "/orders/17")
    assert current() is None
    outer = enter(made)
    assert current() is made
    assert labels() == ("GET /orders/{id}", made.trace_id)
    made.end()
    assert current() is None
    assert labels() == ("", "")
    leave(made, outer)
    assert request_context.VARIABLE.get() is None


def test_a_request_within_a_request_gives_the_outer_one_back(request_):
    inner = InboundRequest("celery", "task", "shop.send")
    outer = enter(inner)
    assert current() is inner
    inner.end()
    leave(inner, outer)
    assert current() is request_


def test_requests_that_overlap_and_end_in_the_order_of_their_begin_leave_nothing():
    first, second = InboundRequest("http", "GET", "/1"), InboundRequest("http", "GET", "/2")
    outer_of_first, outer_of_second = enter(first), enter(second)
    first.end()
    leave(first, outer_of_first)
    second.end()
    leave(second, outer_of_second)
    assert request_context.VARIABLE.get() is None


def test_leaving_in_another_context_changes_nothing_there(request_):
    contextvars.Context().run(leave, request_, None)
    assert current() is request_


def test_tasks_and_to_thread_belong_to_the_request_and_new_threads_do_not(request_):
    async def ask():
        async def task():
            return current()

        return await asyncio.create_task(task()), await asyncio.to_thread(current)

    assert asyncio.run(ask()) == (request_, request_)
    found = []
    thread = threading.Thread(target=lambda: found.append(current()))
    thread.start()
    thread.join()
    assert found == [None]


def test_a_task_that_outlives_its_request_does_not_belong_to_it():
    async def late(gone):
        await gone.wait()
        return current()

    async def serve():
        gone = asyncio.Event()
        made = InboundRequest("http", "GET", "/")
        outer = enter(made)
        task = asyncio.create_task(late(gone))
        made.end()
        leave(made, outer)
        gone.set()
        return await task

    assert asyncio.run(serve()) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01x",
        f"00-{TRACE}-b7ad6b7169203331",
    ],
)
def test_a_traceparent_that_is_none_makes_a_new_trace(header):
    assert trace_of(header) is None
    made = InboundRequest("http", "GET", "/", traceparent=header)
    assert made.trace_id != TRACE
    assert len(bytes.fromhex(made.trace_id)) == 16


def test_a_traceparent_of_a_later_version_is_understood():
    assert trace_of(f"01-{TRACE}-b7ad6b7169203331-01-more") == TRACE


@given(st.text(max_size=80))
def test_any_header_gives_a_trace_id_or_none(header):
    found = trace_of(header)
    assert found is None or len(bytes.fromhex(found)) == 16


def test_the_template_is_asked_for_until_it_is_known():
    answers = [None, "/orders/<int:number>", "not asked again"]
    made = InboundRequest("http", "GET", "/orders/17", resolve=lambda: answers.pop(0))
    assert [made.route, made.route, made.route] == ["GET /orders/{id}", *["GET /orders/<int:number>"] * 2]


def test_a_framework_that_fails_to_name_its_route_leaves_the_path():
    made = InboundRequest("http", "GET", "/orders/17", resolve=lambda: 1 // 0)
    made.end()
    assert made.route == "GET /orders/{id}"


def test_what_an_ended_request_held_of_the_framework_is_let_go():
    made = InboundRequest("http", "GET", "/", resolve=lambda: "/x", task=lambda: None)
    made.end()
    assert (made._resolve, made.task, made.route) == (None, None, "GET /x")


def test_calls_are_summed_and_told_apart_up_to_a_bound(request_):
    place = Place(file="views.py", line=88)
    for number in range(MOST_REPEATS + 10):
        request_.add_sql(0.5, f"SELECT {number}", place)
    for _ in range(3):
        request_.add_http(0.25, "GET api.example.org", place)
        request_.add_sql(0.5, "SELECT 0", place)
    assert (request_.sql_count, request_.http_count) == (MOST_REPEATS + 13, 3)
    assert request_.http_seconds == 0.75
    assert len(request_.repeats) == MOST_REPEATS
    assert request_.repeats[request_context.Call("sql", "SELECT 0", place)] == [4, 2.0]


@pytest.fixture
def domains(monkeypatch):
    from beamlens_supervision import Supervisor

    made = LoggerDomain(), ExceptionDomain()
    supervisor = Supervisor.start([spec for domain in made for spec in domain.children()])
    yield made
    supervisor.stop()
    for domain in made:
        domain.close()


def test_log_records_carry_route_and_trace_of_their_request(domains, request_):
    log.warning("inside")
    contextvars.Context().run(log.warning, "outside")
    outside, inside = domains[0].recent()
    assert (inside["route"], inside["trace_id"]) == ("POST /orders/{id}", TRACE)
    assert (outside["route"], outside["trace_id"]) == (None, None)


def test_exceptions_carry_route_and_trace_of_their_request(domains, request_):
    for number in range(5):
        try:
            raise ValueError(number)
        except ValueError:
            log.exception("order failed")
    row = domains[1].recent()[0]
    assert (row["route"], row["trace_id"], row["handled"]) == ("POST /orders/{id}", TRACE, True)
    (piece,) = domains[1].evidence(None)
    assert "100 % of them in POST /orders/{id}; the latest" in piece.text
    assert (piece.data["route"], piece.data["route_share"]) == ("POST /orders/{id}", 1.0)


def test_an_exception_that_a_framework_caught_counts_once_although_it_is_logged_too(domains, request_):
    try:
        raise ValueError("x")
    except ValueError as error:
        hooks.handled(error)
        log.exception("order failed")
    (row,) = domains[1].recent()
    assert (row["kind"], row["level"], row["handled"], row["route"]) == ("error", "ERROR", True, "POST /orders/{id}")


def test_telling_of_a_handled_exception_while_nobody_listens_does_nothing():
    error = ValueError("x")
    hooks.handled(error)
    assert vars(error) == {}
