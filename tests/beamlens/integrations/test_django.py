from __future__ import annotations

import logging
import sys
import types

import django
import pytest
from django.conf import settings
from django.core.signals import got_request_exception

from beamlens.probes import request_context
from tests.support.servers import uvicorn_server, werkzeug_server

URLS = "tests_django_urls"


@pytest.fixture(scope="module", autouse=True)
def configured():
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=URLS,
            SECRET_KEY="x",
            LOGGING_CONFIG=None,
            MIDDLEWARE=["beamlens.integrations.django.Middleware"],
        )
        django.setup()
    sys.modules[URLS] = urls()
    # Django logs the exceptions too, and the log is read: here the door must see them by itself.
    log = logging.getLogger("django.request")
    log.disabled = True
    yield
    log.disabled = False
    del sys.modules[URLS]
    got_request_exception.disconnect(dispatch_uid="beamlens.integrations.django")


def urls():
    from django.core.exceptions import PermissionDenied
    from django.http import Http404, HttpResponse, StreamingHttpResponse
    from django.urls import include, path

    def order(request, number):
        return HttpResponse(request_context.current().route)

    async def async_order(request, number):
        return HttpResponse(request_context.current().route)

    def fail(request):
        raise ValueError("no such order")

    def missing(request):
        raise Http404

    def denied(request):
        raise PermissionDenied

    def stream(request):
        def parts():
            yield b"a"
            yield request_context.current().route.encode()

        return StreamingHttpResponse(parts())

    async def async_stream(request):
        async def parts():
            yield b"a"
            yield request_context.current().route.encode()

        return StreamingHttpResponse(parts())

    module = types.ModuleType(URLS)
    module.urlpatterns = [
        path("api/", include([path("orders/<int:number>", order), path("async/<int:number>", async_order)])),
        path("fail", fail),
        path("missing", missing),
        path("denied", denied),
        path("stream", stream),
        path("async-stream", async_stream),
    ]
    return module


def wsgi():
    from django.core.handlers.wsgi import WSGIHandler

    return werkzeug_server(WSGIHandler())


def asgi():
    from django.core.handlers.asgi import ASGIHandler

    return uvicorn_server(ASGIHandler())


SERVERS = pytest.mark.parametrize("server", [wsgi, asgi])


@SERVERS
def test_routes_are_url_patterns_with_their_includes(requests_, ended, server):
    with server() as address:
        assert address.ask("/api/orders/17").body == b"GET /api/orders/<int:number>"
        assert address.ask("/api/async/17").body == b"GET /api/async/<int:number>"
        assert address.ask("/nowhere/17").status == 404
        assert address.ask("/missing").status == 404
        assert address.ask("/denied").status == 403
    ended(5)
    assert {row["route"]: row["errors"] for row in requests_.routes()} == {
        "GET /api/orders/<int:number>": 0,
        "GET /api/async/<int:number>": 0,
        "GET (unmatched)": 0,
        "GET /missing": 0,
        "GET /denied": 0,
    }


@SERVERS
def test_an_exception_of_a_view_is_a_failed_request_and_an_exception_with_its_place(
    requests_, exceptions, ended, server
):
    with server() as address:
        assert address.ask("/fail").status == 500
    ended(1)
    (row,) = requests_.errors()
    assert (row["route"], row["status"], row["message"]) == ("GET /fail", 500, "no such order")
    assert row["at"].endswith(".fail")
    (seen,) = exceptions.recent()
    assert (seen["handled"], seen["route"], seen["at"]) == (True, "GET /fail", row["at"])


@SERVERS
def test_answers_below_500_are_no_exceptions(requests_, exceptions, ended, server):
    with server() as address:
        for path in ("/missing", "/denied", "/nowhere"):
            address.ask(path)
    ended(3)
    assert exceptions.recent() == []


@pytest.mark.parametrize(("server", "path"), [(wsgi, "/stream"), (asgi, "/async-stream")])
def test_a_stream_belongs_to_its_request_until_its_end(requests_, ended, server, path):
    with server() as address:
        assert address.ask(path).body == f"aGET {path}".encode()
    ended(1)
    (row,) = requests_.routes()
    assert (row["route"], row["count"], row["in_flight"]) == (f"GET {path}", 1, 0)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_behind_the_door_of_its_server_interface_it_counts_once(requests_, ended, kind):
    if kind == "wsgi":
        from django.core.handlers.wsgi import WSGIHandler

        from beamlens.integrations.wsgi import WSGIMiddleware

        server = werkzeug_server(WSGIMiddleware(WSGIHandler()))
    else:
        from django.core.handlers.asgi import ASGIHandler

        from beamlens.integrations.asgi import ASGIMiddleware

        server = uvicorn_server(ASGIMiddleware(ASGIHandler()))
    with server as address:
        address.ask("/api/orders/17")
        assert address.ask("/fail").status == 500
    ended(2)
    assert {row["route"]: (row["count"], row["errors"]) for row in requests_.routes()} == {
        "GET /api/orders/<int:number>": (1, 0),
        "GET /fail": (1, 1),
    }


@SERVERS
def test_while_requests_are_not_watched_django_works_and_its_exceptions_are_still_seen(exceptions, server):
    with server() as address:
        assert address.ask("/missing").status == 404
        assert address.ask("/fail").status == 500
    (seen,) = exceptions.recent()
    assert (seen["type"], seen["handled"], seen["route"]) == ("ValueError", True, None)


def test_nothing_of_a_request_is_left_on_its_thread(requests_, ended):
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory

    request = RequestFactory().get("/api/orders/17")
    response = WSGIHandler()(request.environ, lambda *_: None)
    response.close()
    assert request_context.VARIABLE.get() is None
