from __future__ import annotations

import io
import sys
import wsgiref.util
from wsgiref.validate import validator

import pytest

from beamlens.integrations.wsgi import REQUEST, WSGIMiddleware
from beamlens.probes import inbound, request_context
from tests.support.servers import werkzeug_server, wsgiref_server

TRACE = "0af7651916cd43dd8448eb211c80319c"


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def call(app, path="/", **more):
    """One call as a server makes it: start_response, body, close."""
    environ = {"PATH_INFO": path, "SERVER_PROTOCOL": "HTTP/1.1", **more}
    wsgiref.util.setup_testing_defaults(environ)
    said = []
    body = app(environ, lambda *arguments: said.append(arguments))
    try:
        return said, b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


@pytest.mark.parametrize("server", [wsgiref_server, werkzeug_server])
def test_requests_to_a_real_server_are_counted_by_route_and_status(requests_, ended, server):
    def app(environ, start_response):
        start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", [])
        return [b"x"]

    with server(WSGIMiddleware(app)) as address:
        for path in ("/orders/1", "/orders/2?q=3", "/none"):
            address.ask(path)
    ended(3)
    rows = {row["route"]: row["count"] for row in requests_.routes()}
    assert rows == {"GET /orders/{id}": 2, "GET /none": 1}
    snapshot = requests_.snapshot()
    assert snapshot["by_status"] == {"2xx": 2, "4xx": 1}
    assert (snapshot["count_1m"], snapshot["error_count_1m"], snapshot["in_flight"]) == (3, 0, 0)


def test_the_protocol_is_kept_by_the_standards_own_validator(requests_, ended):
    def app(environ, start_response):
        def body():
            yield b"a"
            yield b"b"

        start_response("200 OK", [("Content-Type", "text/plain")])
        return body()

    with wsgiref_server(validator(WSGIMiddleware(validator(app)))) as address:
        assert address.ask("/").body == b"ab"
    ended(1)
    assert requests_.snapshot()["by_status"] == {"2xx": 1}


def test_a_list_stays_the_same_list_so_that_the_server_can_tell_its_length(requests_, ended):
    body = [b"hello"]
    with wsgiref_server(WSGIMiddleware(lambda environ, start: (start("200 OK", []) and body) or body)) as address:
        assert address.ask("/").headers["content-length"] == "5"
    assert WSGIMiddleware(lambda environ, start: body)({"PATH_INFO": "/"}, None) is body
    ended(2)


def test_a_sized_body_keeps_its_length(requests_):
    class Sized:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter([b"x"])

    body = WSGIMiddleware(lambda environ, start: Sized())({"PATH_INFO": "/"}, None)
    assert len(body) == 1
    assert list(body) == [b"x"]
    unsized = WSGIMiddleware(lambda environ, start: iter([b"x"]))({"PATH_INFO": "/"}, None)
    assert not hasattr(unsized, "__len__")
    body.close()
    unsized.close()


def test_a_file_wrapper_is_left_to_the_server(requests_):
    environ = {"PATH_INFO": "/", "wsgi.file_wrapper": wsgiref.util.FileWrapper}
    body = wsgiref.util.FileWrapper(io.BytesIO(b"x"))
    assert WSGIMiddleware(lambda environ, start: body)(environ, None) is body


def test_a_generator_is_under_way_until_it_is_consumed(requests_):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        assert request_context.current() is environ[REQUEST]
        yield b"b"

    environ = {"PATH_INFO": "/stream", "REQUEST_METHOD": "GET"}
    body = iter(WSGIMiddleware(app)(environ, lambda *_: None))
    assert requests_.in_flight()[0]["responding"] is False
    assert next(body) == b"a"
    (row,) = requests_.in_flight()
    assert (row["route"], row["responding"]) == ("GET /stream", True)
    assert list(body) == [b"b"]
    assert requests_.in_flight() == []
    body.close()
    assert request_context.VARIABLE.get() is None
    assert requests_.snapshot()["by_status"] == {"2xx": 1}


def test_a_client_that_hangs_up_is_no_error(requests_):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        yield b"b"

    body = WSGIMiddleware(app)({"PATH_INFO": "/"}, lambda *_: None)
    next(body)
    body.close()
    snapshot = requests_.snapshot()
    assert (snapshot["aborted_1m"], snapshot["error_count_1m"], snapshot["in_flight"]) == (1, 0, 0)


def test_a_body_that_the_server_forgets_is_not_under_way_for_ever(requests_):
    body = WSGIMiddleware(lambda environ, start: iter([b"x"]))({"PATH_INFO": "/"}, None)
    assert len(requests_.in_flight()) == 1
    del body
    assert requests_.in_flight() == []


def test_close_of_the_body_is_called_once_and_inside_the_request(requests_):
    seen = []

    class Body:
        def __iter__(self):
            return iter([b"x"])

        def close(self):
            seen.append(request_context.current().route)

    call(WSGIMiddleware(lambda environ, start: Body()), "/orders/9")
    assert seen == ["GET /orders/{id}"]


@pytest.mark.parametrize("server", [wsgiref_server, werkzeug_server])
def test_an_exception_before_the_response_is_the_servers_500(requests_, exceptions, ended, server, capfd):
    def app(environ, start_response):
        raise ValueError("no such order")

    with server(WSGIMiddleware(app)) as address:
        assert address.ask("/orders/5").status == 500
    ended(1)
    (row,) = requests_.errors()
    assert (row["route"], row["status"], row["exception"], row["message"]) == (
        "GET /orders/{id}",
        500,
        "ValueError",
        "no such order",
    )
    assert row["at"].startswith(f"{__file__}:")
    (seen,) = exceptions.recent()
    assert (seen["type"], seen["handled"], seen["route"]) == ("ValueError", True, "GET /orders/{id}")


def test_an_exception_within_the_body_is_an_error_although_its_status_was_sent(requests_):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        call(WSGIMiddleware(app))
    (row,) = requests_.errors()
    assert (row["status"], row["message"]) == (200, "half way")


def test_exc_info_reaches_the_server_and_the_second_status_counts(requests_):
    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("503 Sorry", [], sys.exc_info())
        return [b"x"]

    said, body = call(WSGIMiddleware(app))
    assert [status for status, *_ in said] == ["200 OK", "503 Sorry"]
    assert said[1][2][0] is ValueError
    assert body == b"x"
    assert requests_.snapshot()["by_status"] == {"5xx": 1}
    assert requests_.errors()[0]["exception"] is None


def test_the_write_callable_of_start_response_is_handed_through(requests_):
    written = []

    def app(environ, start_response):
        start_response("200 OK", [])(b"old style")
        return []

    environ = {"PATH_INFO": "/"}
    assert WSGIMiddleware(app)(environ, lambda *_: written.append) == []
    assert written == [b"old style"]


def test_the_trace_that_came_in_and_the_time_in_the_queue_are_known(requests_):
    import time

    sent = f"t={time.time() - 1.5:.3f}"
    call(WSGIMiddleware(plain), HTTP_TRACEPARENT=f"00-{TRACE}-b7ad6b7169203331-01", HTTP_X_REQUEST_START=sent)
    (row,) = requests_.slow()
    assert row["trace_id"] == TRACE
    assert row["queued_ms"] > 1490
    assert requests_.snapshot()["queue_p95_ms"] >= 1400


def test_two_doors_around_one_application_count_once(requests_):
    call(WSGIMiddleware(WSGIMiddleware(plain)))
    assert requests_.snapshot()["count_1m"] == 1


def test_a_method_that_a_client_made_up_makes_no_route_of_its_own(requests_):
    for number in range(5):
        call(WSGIMiddleware(plain), REQUEST_METHOD=f"M{number}")
    assert [row["route"] for row in requests_.routes()] == ["OTHER /"]


def test_while_nobody_listens_the_application_is_called_as_it_is():
    app = WSGIMiddleware(plain)
    environ, start = {"PATH_INFO": "/"}, lambda *_: None
    seen = []
    app.app = lambda *arguments: seen.append(arguments)
    app(environ, start)
    assert seen == [(environ, start)]
    assert environ == {"PATH_INFO": "/"}


def test_a_listener_that_fails_does_not_reach_the_application(requests_):
    class Broken:
        def begun(self, request):
            raise RuntimeError

        answered = begun

    broken = Broken()
    lost = inbound.lost()
    inbound.add(broken)
    try:
        assert call(WSGIMiddleware(plain))[1] == b"hello"
    finally:
        inbound.remove(broken)
    assert inbound.lost() == lost + 2
    assert requests_.snapshot()["count_1m"] == 1


def test_a_request_under_way_when_the_watch_ends_ends_well(requests_):
    body = WSGIMiddleware(lambda environ, start: iter([b"x"]))({"PATH_INFO": "/"}, None)
    requests_.recorder.uninstall()
    assert list(body) == [b"x"]
    body.close()
    assert request_context.VARIABLE.get() is None
