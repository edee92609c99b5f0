"""What a request to an ASGI application costs: bare, through the door, with peers' middleware around it."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side
from benchmarks.overhead.wsgi_request import BEAMLENS, OTEL, SENTRY

_MEASURE = HotPath(
    title="request to an ASGI application that answers at once, with the headers of a browser",
    operation="""
import asyncio

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

scope = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
    "path": "/orders/17", "raw_path": b"/orders/17", "query_string": b"", "root_path": "", "server": ("x", 80),
    "client": ("y", 1), "headers": [(b"host", b"x"), *((f"x-header-{n}".encode(), b"value") for n in range(10))],
}
app = around(app)
runner = asyncio.Runner()

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    pass

async def requests():
    for _ in range(10):
        await app(dict(scope), receive, send)

def once(number):
    if number % 10 == 0:  # ten in a task, so that the task itself weighs little
        runner.run(requests())
""",
    sides={
        "bare": Side("around = lambda app: app"),
        "not watched": Side("from beamlens.integrations.asgi import ASGIMiddleware as around"),
        "beamlens": Side(
            BEAMLENS + "from beamlens.integrations.asgi import ASGIMiddleware as around",
            "lens.stop()",
        ),
        "sentry-sdk": Side(
            SENTRY.format(rate="None") + "from sentry_sdk.integrations.asgi import SentryAsgiMiddleware as around",
            EXIT_AT_ONCE,
            "sentry_sdk",
        ),
        "sentry traces": Side(
            SENTRY.format(rate="1.0") + "from sentry_sdk.integrations.asgi import SentryAsgiMiddleware as around",
            EXIT_AT_ONCE,
            "sentry_sdk",
        ),
        "opentelemetry": Side(
            OTEL + "from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as around",
            EXIT_AT_ONCE,
            "opentelemetry.instrumentation.asgi",
        ),
    },
    count=3000,
    goal_us=15.0,
)

run = _MEASURE.run
