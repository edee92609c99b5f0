"""What an exception costs that the host handles and logs: bare, with Beamlens watching, with sentry-sdk."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

_MEASURE = HotPath(
    title="exception through 10 frames, caught and logged with logger.exception",
    operation="""
import logging
log = logging.getLogger("host.orders")
log.addHandler(logging.NullHandler())
log.propagate = False

def fail(depth):
    if depth == 0:
        raise ValueError("no such order")
    fail(depth - 1)

def once(number):
    try:
        fail(9)
    except ValueError:
        log.exception("order %d failed", number)
""",
    sides={
        "bare": Side(),
        "beamlens": Side('from beamlens import Beamlens\nlens = Beamlens.start(watchers=["exception"])', "lens.stop()"),
        "sentry-sdk": Side(
            "import sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1')", EXIT_AT_ONCE, "sentry_sdk"
        ),
    },
    count=1000,
    goal_us=4.0,
)

run = _MEASURE.run
