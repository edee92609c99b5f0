"""Connections that the host has taken from its pool: how long for, from which line, what is done with them."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from beamlens.probes.call_site import Site
from beamlens_actors import clock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Running = tuple[str, Site | None, float]
"""A statement under way: its text, cut; the line that sent it; when it began, on ``time.perf_counter``."""

_MOST_HELD = 100
_MOST_LEASES = 2000
_HELD_LONG_S = 1.0

_numbers = itertools.count(1)
_keys = itertools.count(1)


class Lease:
    """A connection that the host has taken from its pool.

    Attributes:
        number: Number, unique in this process.
        began: When, on ``time.perf_counter``.
        site: The line that took it.
        thread: Name of the thread that took it.
        queued: Seconds that were spent in the pool's queue and that no statement has been charged with yet.
        server_pid: The server's process for this connection, if the driver tells.
        transaction: The transaction of its last statement, while that is alive.
        entered: When that statement's transaction was first used.
        group: Number of that transaction, unique in this process: what is repeated within it is counted together.
        running: Statement under way: its text, its line, when it began.
        last: When the last statement ended.
        last_site: Its line.
        over: It was given back.
    """

    __slots__ = (
        "_wrote_site", "began", "connection", "entered", "fairy", "group", "last", "last_site", "number", "over",
        "queued", "running", "server_pid", "site", "thread", "transaction",
    )  # fmt: skip

    def __init__(self, fairy: Any, site: Site | None, thread: str, queued: float, server_pid: int | None) -> None:
        self.number = next(_numbers)
        self.began = self.last = perf_counter()
        self.site = site
        self.thread = thread
        self.queued = queued
        self.server_pid = server_pid
        self.transaction: Callable[[], Any] = _none
        self.group = next(_numbers)
        self.running: Running | None = None
        self.last_site: Site | None = None
        self.entered = self.began
        self._wrote_site: Site | None = None
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

    def enter(self, transaction: Any) -> None:
        """The first statement of a transaction is about to be sent, or one outside of any."""
        self.transaction = _none if transaction is None else weakref.ref(transaction)
        self.group = next(_numbers)
        self.entered = perf_counter()
        self._wrote_site = None

    def wrote(self, site: Site | None) -> None:
        """A statement that may have locked rows ended."""
        self._wrote_site = site

    @property
    def opened(self) -> float | None:
        """When the first statement of its transaction was sent: before that, drivers tell their server nothing.

        ``None`` outside of one, and where the connection commits by itself.
        """
        conn = self._in_transaction()
        return None if conn is None or _commits_by_itself(conn) else self.entered

    @property
    def wrote_site(self) -> Site | None:
        """The line of the last statement of this transaction that may have locked rows."""
        return None if self._in_transaction() is None else self._wrote_site

    def _in_transaction(self) -> Any:
        """The SQLAlchemy connection, if the transaction of the last statement goes on there."""
        conn = None if self.connection is None else self.connection()
        transaction = None if conn is None else conn.get_transaction()
        return conn if transaction is not None and transaction is self.transaction() else None


def _none() -> None:
    return None


class Held(NamedTuple):
    """A connection that was given back after a long time."""

    at: float
    seconds: float
    site: Site | None


class Leases:
    """The leases of one engine, each found by a mark that its connection carries.

    All but `holders` and `forget` is called on the host's threads, and may raise: whoever listens there guards it.

    Attributes:
        key: The mark's name, unique in this process.
        closed: Nothing is recorded.
        open: Leases of connections that came from the pool, by number; at most 2000.
        held: The latest hundred that were kept for a second or longer.
    """

    def __init__(self, engine: Engine) -> None:
        self.key = f"_beamlens_{next(_keys)}"
        self.closed = True
        self._engine = weakref.ref(engine)
        self.open: dict[int, Lease] = {}
        self.held: deque[Held] = deque(maxlen=_MOST_HELD)
        self._asks_pid = engine.dialect.name == "postgresql"

    def of(self, conn: Any) -> Lease | None:
        """The lease of a SQLAlchemy connection: a new one for what was taken before recording, or not from the pool.

        ``None`` when nothing is recorded any more, for another engine with the same dialect, and for the connection on
        which SQLAlchemy asks a server what it is.
        """
        if self.closed or not self._is_ours(conn.engine) or not getattr(conn, "_allow_autobegin", True):
            return None
        lease: Lease | None = vars(conn).get(self.key)
        if lease is None or lease.over:
            fairy = conn.connection
            info = fairy.record_info
            lease = None if info is None else info.get(self.key)
            if lease is None or lease.over:
                lease = self.begin(fairy, None, 0.0)
            lease.connection = weakref.ref(conn)
            vars(conn)[self.key] = lease
        return lease

    def _is_ours(self, engine: Any) -> bool:
        """Whether it is the recorded engine, or one made of that by ``execution_options()``."""
        recorded = self._engine()
        while engine is not None and engine is not recorded:
            engine = getattr(engine, "_proxied", None)
        return engine is not None

    def known(self, fairy: Any) -> bool:
        """Whether this very handle has a lease: some pools give a thread the connection that it has already."""
        info = fairy.record_info
        lease: Lease | None = None if info is None else info.get(self.key)
        return lease is not None and lease.held and lease.fairy() is fairy

    def begin(self, fairy: Any, site: Site | None, queued: float) -> Lease:
        """A connection was taken.

        Args:
            fairy: The pool's handle.
            site: The line that took it.
            queued: Seconds that it waited for it.
        """
        pid = server_pid(fairy) if self._asks_pid else None
        lease = Lease(fairy, site, threading.current_thread().name, queued, pid)
        info = fairy.record_info
        if info is not None:
            info[self.key] = lease
            self.open[lease.number] = lease
            if len(self.open) > _MOST_LEASES:
                self.open.pop(next(iter(self.open)), None)
        return lease

    def end(self, record: Any) -> None:
        """The connection of a pool's record was given back, or is the pool's no more."""
        lease: Lease | None = record.record_info.pop(self.key, None)
        if lease is None:
            return
        lease.over = True
        self.open.pop(lease.number, None)
        seconds = perf_counter() - lease.began
        if seconds >= _HELD_LONG_S:
            self.held.append(Held(clock.time(), seconds, lease.site))

    def forget(self) -> None:
        """Record nothing more, and take every mark away."""
        self.closed = True
        for lease in self.open.copy().values():
            lease.over = True
            fairy = lease.fairy()
            conn = None if lease.connection is None else lease.connection()
            for carrier in (getattr(fairy, "record_info", None), getattr(conn, "__dict__", None)):
                if carrier is not None:
                    carrier.pop(self.key, None)
        self.open.clear()

    def holders(self) -> list[Lease]:
        """Those of connections that are taken now, the longest first."""
        found = [lease for lease in self.open.copy().values() if lease.held]
        return sorted(found, key=lambda lease: lease.began)


def server_pid(fairy: Any) -> int | None:
    """The server's process behind a PostgreSQL connection, from what the driver holds: nothing is sent."""
    driver = fairy.driver_connection
    ask = getattr(driver, "get_server_pid", None) or getattr(driver, "get_backend_pid", None)
    found = ask() if ask is not None else getattr(getattr(driver, "info", None), "backend_pid", None)
    return found if type(found) is int else None


def _commits_by_itself(conn: Any) -> bool:
    level = conn.get_execution_options().get("isolation_level") or getattr(
        conn.dialect, "_on_connect_isolation_level", None
    )
    return isinstance(level, str) and level.upper() == "AUTOCOMMIT"
