"""Connections taken from a pool: how long for, from which line, and who waits for one."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from beamlens.probes.call_site import Site

_numbers = itertools.count(1)


class Lease:
    """A connection that the host has taken from its pool.

    Attributes:
        number: Number, unique in this process.
        began: When, on ``time.perf_counter``.
        site: The line that took it.
        thread: Name of the thread that took it.
        queued: Seconds that were spent in the pool's queue and that no statement has been charged with yet.
        server_pid: The server's process for this connection, if the driver tells.
        group: Number of its transaction, unique in this process: what is repeated within it is counted together.
        opened: When its transaction began; ``None`` outside of one, or where the connection commits by itself.
        running: Statement under way: its text, its line, when it began.
        last: When the last statement ended.
        last_site: Its line.
        wrote_site: The line of the last statement of this transaction that may have locked rows.
        over: It was given back.
    """

    __slots__ = (
        "began", "connection", "fairy", "group", "last", "last_site", "number", "opened", "over", "queued",
        "running", "server_pid", "site", "thread", "wrote_site",
    )  # fmt: skip

    def __init__(self, fairy: Any, site: Site | None, thread: str, queued: float, server_pid: int | None) -> None:
        self.number = next(_numbers)
        self.began = self.last = perf_counter()
        self.site = site
        self.thread = thread
        self.queued = queued
        self.server_pid = server_pid
        self.group = next(_numbers)
        self.opened: float | None = None
        self.running: tuple[str, Site | None, float] | None = None
        self.last_site: Site | None = None
        self.wrote_site: Site | None = None
        self.over = False
        # The pool's handle is garbage as soon as the host lost it, and the connection goes back to the pool.
        self.fairy: Callable[[], Any] = weakref.ref(fairy)
        self.connection: Callable[[], Any] | None = None

    @property
    def held(self) -> bool:
        """Whether the host still has it."""
        return not self.over and self.fairy() is not None

    def idle(self, now: float) -> float:
        """Seconds since it was used last; 0 while a statement runs."""
        return 0.0 if self.running is not None else max(0.0, now - self.last)

    def next_group(self) -> None:
        """Its transaction ended."""
        self.group = next(_numbers)
        self.opened = self.running = self.wrote_site = None


class PoolSink(Protocol):
    """Who is told about a pool. Called on the host's threads; must not raise."""

    def asks(self) -> int:
        """A connection is asked for; answers a number for the other two."""
        ...

    def got(self, number: int, fairy: Any) -> None:
        """It was given."""
        ...

    def refused(self, number: int, error: BaseException) -> None:
        """It was not given."""
        ...


class PoolTap:
    """Stands in for ``pool.connect`` on one pool: SQLAlchemy has no event before a checkout, so none for the wait.

    Shared by all who watch one pool. It is an attribute of the instance over the class's method, and is taken away
    with the last sink, unless somebody else has wrapped it meanwhile: then it stays as a pass-through.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._before: Callable[[], Any] | None = vars(pool).get("connect")
        self.sinks: tuple[PoolSink, ...] = ()

    def __call__(self) -> Any:
        """What the host calls as ``pool.connect()``."""
        sinks = self.sinks
        numbers = [sink.asks() for sink in sinks]
        try:
            fairy = self._connect()
        except BaseException as error:
            for sink, number in zip(sinks, numbers, strict=True):
                sink.refused(number, error)
            raise
        for sink, number in zip(sinks, numbers, strict=True):
            sink.got(number, fairy)
        return fairy

    def _connect(self) -> Any:
        if self._before is not None:
            return self._before()
        pool: Any = self._pool()
        return type(pool).connect(pool)


def add(pool: Any, sink: PoolSink) -> None:
    """Tell `sink` about a pool; told already: nothing changes."""
    tap = vars(pool).get("connect")
    if not isinstance(tap, PoolTap):
        tap = pool.connect = PoolTap(pool)
    if sink not in tap.sinks:
        tap.sinks = (*tap.sinks, sink)


def remove(pool: Any, sink: PoolSink) -> None:
    """Tell it no longer."""
    tap = vars(pool).get("connect")
    if not isinstance(tap, PoolTap):
        return
    tap.sinks = tuple(other for other in tap.sinks if other is not sink)
    if not tap.sinks:
        if tap._before is None:  # noqa: SLF001 - of this module
            del pool.connect
        else:
            pool.connect = tap._before  # noqa: SLF001


def is_tapped(pool: Any, sink: PoolSink) -> bool:
    """Whether `sink` is told about a pool."""
    tap = vars(pool).get("connect")
    return isinstance(tap, PoolTap) and sink in tap.sinks


def server_pid(fairy: Any) -> int | None:
    """The server's process behind a PostgreSQL connection, from what the driver holds: nothing is sent."""
    driver = fairy.driver_connection
    ask = getattr(driver, "get_server_pid", None) or getattr(driver, "get_backend_pid", None)
    found = ask() if ask is not None else getattr(getattr(driver, "info", None), "backend_pid", None)
    return found if type(found) is int else None
