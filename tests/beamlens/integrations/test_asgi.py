from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from beamlens.integrations.asgi import REQUEST, ASGIMiddleware
from beamlens.probes import request_context
from tests.support.servers import uvicorn_server

TRACE = "0af7651916cd43dd8448eb211c80319c"


def scope(path="/", kind="http", **headers):
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "method": "GET", "path": path, "headers": named}


async def call(app, found=None, messages=({"type": "http.request", "body": b"", "more_body": False},)):
    """One call as a server makes it; returns what was sent."""
    incoming, sent = list(messages), []

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    await app(found or scope(), receive, send)
    return sent


async def plain(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_requests_to_a_real_server_are_counted_by_route_and_status(requests_, ended):
    async def app(scope, receive, send):
        status = 404 if scope["path"] == "/none" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-mine", b"1")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    with uvicorn_server(ASGIMiddleware(app)) as address:
        answer = address.ask("/orders/1")
        assert (answer.status, answer.headers["x-mine"], answer.body) == (200, "1", b"ab")
        address.ask("/none", "POST", b"x" * 100_000)
    ended(2)
    assert {row["route"]: row["count"] for row in requests_.routes()} == {"GET /orders/{id}": 1, "POST /none": 1}
    assert requests_.snapshot()["by_status"] == {"2xx": 1, "4xx": 1}


def test_lifespan_passes_through_untouched(requests_, ended):
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                seen.append(message["type"])
                await send({"type": message["type"] + ".complete"})
        else:
            await plain(scope, receive, send)

    with uvicorn_server(ASGIMiddleware(app), lifespan="on") as address:
        address.ask("/")
    assert seen == ["lifespan.startup", "lifespan.shutdown"]
    assert requests_.snapshot()["count_1m"] == 1


def test_messages_and_scope_reach_both_sides_unchanged(requests_):
    start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": False}
    extra = {"type": "http.response.pathsend", "path": "/x"}

    async def app(scope, receive, send):
        assert await receive() == {"type": "http.request", "body": b"ab", "more_body": False}
        await send(start)
        await send(extra)
        await send({"type": "http.response.body", "body": b""})

    messages = ({"type": "http.request", "body": b"ab", "more_body": False},)
    sent = asyncio.run(call(ASGIMiddleware(app), messages=messages))
    assert sent[0] is start
    assert sent[1] is extra


def test_a_stream_is_under_way_until_its_last_part(requests_):
    async def app(scope, receive, send):
        assert requests_.in_flight()[0]["responding"] is False
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        (row,) = requests_.in_flight()
        assert (row["route"], row["responding"]) == ("GET /stream", True)
        await send({"type": "http.response.body", "body": b"b"})
        assert requests_.in_flight() == []

    asyncio.run(call(ASGIMiddleware(app), scope("/stream")))


def test_what_runs_after_the_response_is_not_counted_but_belongs_to_the_request(requests_, exceptions):
    async def app(scope, receive, send):
        await plain(scope, receive, send)
        request = request_context.current()
        assert request is scope[REQUEST]
        request.add_sql(5.0, "SELECT 1")
        raise ValueError("in the background")

    with pytest.raises(ValueError, match="background"):
        asyncio.run(call(ASGIMiddleware(app)))
    snapshot = requests_.snapshot()
    assert (snapshot["error_count_1m"], snapshot["by_status"], snapshot["sql_pct"]) == (0, {"2xx": 1}, None)
    assert exceptions.recent()[0]["route"] == "GET /"


def test_an_exception_before_the_response_is_the_servers_500(requests_, exceptions, ended):
    async def app(scope, receive, send):
        raise ValueError("no such order")

    with uvicorn_server(ASGIMiddleware(app)) as address:
        assert address.ask("/orders/5").status == 500
    ended(1)
    (row,) = requests_.errors()
    assert (row["route"], row["status"], row["exception"]) == ("GET /orders/{id}", 500, "ValueError")
    assert row["at"].startswith(f"{__file__}:")
    (seen,) = exceptions.recent()
    assert (seen["message"], seen["handled"], seen["route"]) == ("no such order", True, "GET /orders/{id}")


def test_an_application_that_gives_no_answer_has_failed(requests_, ended):
    async def app(scope, receive, send):
        return

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with uvicorn_server(ASGIMiddleware(app)) as address:
        assert address.ask("/").status == 500
    ended(1)
    assert requests_.snapshot()["error_count_1m"] == 1


def test_a_client_that_goes_is_no_error_whatever_the_application_makes_of_it(requests_, exceptions, ended):
    gone = threading.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        raise OSError("the client has gone")

    with uvicorn_server(ASGIMiddleware(app)) as address:
        address.ask_and_leave("/stream")
        assert gone.wait(30.0)
    ended(1)
    snapshot = requests_.snapshot()
    assert (snapshot["aborted_1m"], snapshot["error_count_1m"], snapshot["in_flight"]) == (1, 0, 0)
    assert exceptions.recent() == []


def test_a_cancelled_request_is_aborted_and_still_cancelled(requests_):
    async def cancel():
        inside = asyncio.Event()

        async def app(scope, receive, send):
            inside.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(call(ASGIMiddleware(app)))
        await inside.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    snapshot = requests_.snapshot()
    assert (snapshot["aborted_1m"], snapshot["error_count_1m"], snapshot["in_flight"]) == (1, 0, 0)


def test_websockets_are_counted_apart(requests_):
    async def app(scope, receive, send):
        (row,) = requests_.websockets()
        assert (row["route"], row["kind"]) == ("WS /chat", "websocket")
        assert requests_.in_flight() == []
        assert requests_.snapshot()["websockets_open"] == 1

    asyncio.run(call(ASGIMiddleware(app), scope("/chat", "websocket")))
    snapshot = requests_.snapshot()
    assert (snapshot["websockets_open"], snapshot["websockets_1m"], snapshot["count_1m"]) == (0, 1, 0)


def test_concurrent_requests_keep_their_own_context(requests_):
    async def app(scope, receive, send):
        await asyncio.sleep(0)
        assert request_context.current().path == scope["path"]
        await asyncio.create_task(inner(scope["path"]))
        await plain(scope, receive, send)

    async def inner(path):
        await asyncio.sleep(0)
        assert request_context.current().path == path

    async def many():
        await asyncio.gather(*(call(ASGIMiddleware(app), scope(f"/{letter}")) for letter in "abcdefgh"))
        assert request_context.VARIABLE.get() is None

    asyncio.run(many())
    assert requests_.snapshot()["routes"] == 8


def test_headers_tell_trace_and_queue(requests_):
    import time

    sent = str(int(1000 * (time.time() - 2)))
    found = scope("/", traceparent=f"00-{TRACE}-b7ad6b7169203331-01", x_request_start=sent)
    asyncio.run(call(ASGIMiddleware(plain), found))
    (row,) = requests_.slow()
    assert row["trace_id"] == TRACE
    assert row["queued_ms"] > 1990


def test_two_doors_around_one_application_count_once_and_the_inner_names_the_route(requests_):
    inner = ASGIMiddleware(plain, lambda scope: "/orders/{number}")
    asyncio.run(call(ASGIMiddleware(inner), scope("/orders/17")))
    (row,) = requests_.routes()
    assert (row["route"], row["count"]) == ("GET /orders/{number}", 1)


def test_while_nobody_listens_the_application_is_called_as_it_is():
    seen = []

    async def app(*arguments):
        seen.append(arguments)

    async def receive():
        return {}

    async def send(message):
        pass

    found = scope()
    asyncio.run(ASGIMiddleware(app)(found, receive, send))
    assert seen == [(found, receive, send)]
    assert REQUEST not in found


def test_in_flight_tells_where_a_waiting_task_is_and_which_one_blocks_its_loop(requests_):
    blocking, go = threading.Event(), threading.Event()

    async def wait_here(event):
        await event.wait()

    def block_here():
        blocking.set()
        go.wait(30.0)

    async def both():
        event = asyncio.Event()

        async def app(scope, receive, send):
            if scope["path"] == "/block":
                block_here()
                event.set()
            else:
                await wait_here(event)
            await plain(scope, receive, send)

        await asyncio.gather(*(call(ASGIMiddleware(app), scope(path)) for path in ("/wait", "/block")))

    thread = threading.Thread(target=asyncio.run, args=(both(),))
    thread.start()
    assert blocking.wait(30.0)
    rows = {row["route"]: row for row in requests_.in_flight()}
    go.set()
    thread.join(30.0)
    assert rows["GET /block"]["blocks_the_loop"] is True
    assert rows["GET /block"]["at"].endswith(".block_here")
    assert rows["GET /wait"]["blocks_the_loop"] is False
    assert rows["GET /wait"]["at"].endswith(".wait_here")
