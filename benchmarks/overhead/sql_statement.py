"""What a SQL statement costs the host: bare, with Beamlens watching, with OpenTelemetry, with sentry-sdk."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

_ENGINE = "from sqlalchemy import create_engine, text\nengine = create_engine('sqlite://')\n"

_MEASURE = HotPath(
    title="SQL statement, SQLAlchemy Core, `SELECT 1` of SQLite in memory",
    operation="""
connection = engine.connect()
statement = text("SELECT 1")

def once(number):
    connection.execute(statement)
""",
    sides={
        "bare": Side(_ENGINE),
        "beamlens": Side(
            f"{_ENGINE}from beamlens import Beamlens\n"
            "lens = Beamlens.start(watchers=[{'name': 'database', 'engine': engine}])",
            "lens.stop()",
        ),
        "opentelemetry": Side(
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor\n"
            f"{_ENGINE}"
            "SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=TracerProvider(),"
            " skip_dep_check=True)",
            EXIT_AT_ONCE,
            "opentelemetry.instrumentation.sqlalchemy",
        ),
        "sentry-sdk": Side(
            "import sentry_sdk\nfrom sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration\n"
            "sentry_sdk.init(dsn='http://key@127.0.0.1:9/1', integrations=[SqlalchemyIntegration()])\n"
            f"{_ENGINE}",
            EXIT_AT_ONCE,
            "sentry_sdk",
        ),
    },
    count=10_000,
    goal_us=10.0,
)

run = _MEASURE.run
