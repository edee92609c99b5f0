"""What an exception costs that the host handles: seen by its log record, with that record, or told by a door."""

from __future__ import annotations

from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

_RAISE = """
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
    except ValueError as error:
        {handle}
"""


def _watched(*watchers: str) -> Side:
    return Side(f"from beamlens import Beamlens\nlens = Beamlens.start(watchers={list(watchers)})", "lens.stop()")


# The goal is about seeing the exception. Its record has a goal of its own (measure log_call): `with record` pays both.
_LOGGED = HotPath(
    title="exception through 10 frames, caught and logged with logger.exception",
    operation=_RAISE.format(handle='log.exception("order %d failed", number)'),
    sides={
        "bare": Side(),
        "beamlens": _watched("exception"),
        "with record": _watched("exception", "logger"),
        "sentry-sdk": Side(
            "import sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1')", EXIT_AT_ONCE, "sentry_sdk"
        ),
    },
    count=1000,
    goal_us=4.0,
)
_TOLD = HotPath(
    title="exception through 10 frames, caught by a framework whose door tells Beamlens of it, not logged",
    operation="from beamlens.probes import hooks\n" + _RAISE.format(handle="hooks.handled(error)"),
    sides={"bare": Side(), "beamlens": _watched("exception")},
    count=1000,
    goal_us=4.0,
)


def run(rounds: int) -> None:
    """Measure both ways by which a handled exception is seen."""
    _LOGGED.run(rounds)
    _TOLD.run(rounds)
