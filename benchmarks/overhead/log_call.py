"""What a log call costs: bare, with Beamlens watching, with sentry-sdk."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

_WATCHERS = '["runtime", "logger", "exception"]'

# The logger does not propagate: sentry and Beamlens see its records all the same, and nothing else handles them.
_MEASURE = HotPath(
    title="log call, one logger with a NullHandler, formatted arguments",
    operation="""
import logging
log = logging.getLogger("host.orders")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False

def once(number):
    log.info("user %s did %s in %d ms", "bob", "login", number)
""",
    sides={
        "bare": Side(),
        "beamlens": Side(f"from beamlens import Beamlens\nlens = Beamlens.start(watchers={_WATCHERS})", "lens.stop()"),
        "sentry-sdk": Side(
            "import sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1')", EXIT_AT_ONCE, "sentry_sdk"
        ),
    },
    goal_us=1.5,
)

run = _MEASURE.run
