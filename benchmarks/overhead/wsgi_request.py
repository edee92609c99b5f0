"""What a request to a WSGI application costs: bare, through the door, with peers' middleware around it."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

OTEL = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

class Nowhere(SpanExporter):
    def export(self, spans):
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Nowhere()))
trace.set_tracer_provider(provider)
"""
SENTRY = "import sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1', traces_sample_rate={rate})\n"
BEAMLENS = 'from beamlens import Beamlens\nlens = Beamlens.start(watchers=["requests"])\n'

_MEASURE = HotPath(
    title="request to a WSGI application that answers at once, with the headers of a browser",
    operation="""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

environ = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/orders/17", "QUERY_STRING": "", "SERVER_NAME": "x",
    "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "HTTP_HOST": "x",
    **{f"HTTP_X_HEADER_{number}": "value" for number in range(10)},
}
app = around(app)

def start_response(status, headers, exc_info=None):
    pass

def once(number):
    body = app(dict(environ), start_response)
    for _ in body:
        pass
    if hasattr(body, "close"):
        body.close()
""",
    sides={
        "bare": Side("around = lambda app: app"),
        "not watched": Side("from beamlens.integrations.wsgi import WSGIMiddleware as around"),
        "beamlens": Side(
            BEAMLENS + "from beamlens.integrations.wsgi import WSGIMiddleware as around",
            "lens.stop()",
        ),
        "sentry-sdk": Side(
            SENTRY.format(rate="None") + "from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware as around",
            EXIT_AT_ONCE,
            "sentry_sdk",
        ),
        "sentry traces": Side(
            SENTRY.format(rate="1.0") + "from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware as around",
            EXIT_AT_ONCE,
            "sentry_sdk",
        ),
        "opentelemetry": Side(
            OTEL + "from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as around",
            EXIT_AT_ONCE,
            "opentelemetry.instrumentation.wsgi",
        ),
    },
    count=3000,
    goal_us=15.0,
)

run = _MEASURE.run
