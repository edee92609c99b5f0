from __future__ import annotations

import threading

import fastapi
import pytest
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from beamlens.integrations import fastapi as door
from beamlens.probes import request_context
from tests.support.servers import uvicorn_server


@pytest.fixture
def app():
    made = fastapi.FastAPI()
    door.init_app(made)
    orders = fastapi.APIRouter(prefix="/api/v1")

    @orders.get("/orders/{number}")
    async def order(number: int):
        return request_context.current().route

    @orders.get("/sync/{number}")
    def sync(number: int):
        return request_context.current().route

    made.include_router(orders)

    @made.get("/fail")
    def fail():
        raise ValueError("no such order")

    @made.get("/handled")
    async def handled():
        raise KeyError("order")

    @made.get("/handled-sync")
    async def handled_sync():
        raise IndexError("order")

    @made.exception_handler(KeyError)
    async def on_key_error(request, error):
        return JSONResponse({}, 410)

    @made.exception_handler(IndexError)
    def on_index_error(request, error):
        return JSONResponse({"thread": threading.current_thread().name}, 410)

    @made.get("/stream")
    async def stream():
        return StreamingResponse(iter([b"a", b"b"]))

    inner = fastapi.FastAPI()

    @inner.get("/lines/{line}")
    async def line(line: int):
        return line

    made.mount("/shop/{name}", inner)
    return made


def test_routes_are_templates_with_the_prefixes_of_routers_and_mounts(requests_, ended, app):
    with uvicorn_server(app) as address:
        assert address.ask("/api/v1/orders/17").body == b'"GET /api/v1/orders/{number}"'
        assert address.ask("/api/v1/sync/17").body == b'"GET /api/v1/sync/{number}"'
        assert address.ask("/api/v1/orders/x").status == 422
        assert address.ask("/nowhere/17").status == 404
        assert address.ask("/stream").body == b"ab"
        assert address.ask("/shop/17/lines/3").body == b"3"
        assert address.ask("/shop/17/none").status == 404
    ended(7)
    assert {row["route"]: row["count"] for row in requests_.routes()} == {
        "GET /api/v1/orders/{number}": 2,
        "GET /api/v1/sync/{number}": 1,
        "GET (unmatched)": 1,
        "GET /stream": 1,
        "GET /shop/{id}/lines/{line}": 1,
        "GET /shop/{id}/*": 1,
    }


def test_an_exception_of_a_view_is_a_failed_request_and_an_exception_with_its_place(requests_, exceptions, ended, app):
    with uvicorn_server(app) as address:
        assert address.ask("/fail").status == 500
    ended(1)
    (row,) = requests_.errors()
    assert (row["route"], row["status"], row["message"]) == ("GET /fail", 500, "no such order")
    assert row["at"].endswith(".fail")
    (seen,) = exceptions.recent()
    assert (seen["handled"], seen["route"], seen["at"]) == (True, "GET /fail", row["at"])


@pytest.mark.parametrize(("path", "name"), [("/handled", "KeyError"), ("/handled-sync", "IndexError")])
def test_an_exception_that_a_handler_answers_is_seen_and_no_failed_request(
    requests_, exceptions, ended, app, path, name
):
    with uvicorn_server(app) as address:
        answer = address.ask(path)
        assert answer.status == 410
        assert b"uvicorn" not in answer.body  # a plain handler still runs in a worker thread
    ended(1)
    assert requests_.snapshot()["error_count_1m"] == 0
    (seen,) = exceptions.recent()
    assert (seen["type"], seen["handled"], seen["route"]) == (name, True, f"GET {path}")


def test_in_flight_finds_the_worker_thread_of_a_plain_function(requests_, ended, app):
    inside, go = threading.Event(), threading.Event()

    def wait_here():
        inside.set()
        go.wait(30.0)

    app.get("/slow/{number}")(lambda number: wait_here())
    with uvicorn_server(app) as address:
        asking = threading.Thread(target=address.ask, args=("/slow/1",))
        asking.start()
        assert inside.wait(30.0)
        (row,) = requests_.in_flight()
        go.set()
        asking.join(30.0)
    ended(1)
    assert row["route"] == "GET /slow/{number}"
    assert row["at"].endswith(".wait_here")
    assert row["blocks_the_loop"] is False


def test_what_starlettes_own_middleware_passes_on_keeps_its_route(requests_, ended, app):
    from starlette.middleware.base import BaseHTTPMiddleware

    async def passes(request, call_next):
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    with uvicorn_server(app) as address:
        assert address.ask("/api/v1/orders/17").body == b'"GET /api/v1/orders/{number}"'
    ended(1)
    assert [row["route"] for row in requests_.routes()] == ["GET /api/v1/orders/{number}"]


def test_a_starlette_application_with_a_mounted_router(requests_, ended):
    async def line(request):
        return PlainTextResponse(request_context.current().route)

    app = Starlette(routes=[Mount("/api", Router([Route("/lines/{line:int}", line)])), Route("/top", line)])
    door.init_app(app)
    with uvicorn_server(app) as address:
        assert address.ask("/api/lines/3").body == b"GET /api/lines/{line}"
        assert address.ask("/top").body == b"GET /top"
    ended(2)


def test_while_nobody_watches_the_application_works(app):
    with uvicorn_server(app) as address:
        assert address.ask("/stream").body == b"ab"
        assert address.ask("/handled").status == 410
