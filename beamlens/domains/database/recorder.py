"""What hears an engine's statements and its pool, on the host's threads: no lock, no parameters, never an error."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from sys import _getframe
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from beamlens.domains.database import listeners, pool
from beamlens.domains.database.fingerprint import MOST_TEXT, Fingerprints
from beamlens.domains.database.ledger import Finished, Ledger
from beamlens.domains.database.pool import Lease
from beamlens.probes.call_site import CallSites, Site
from beamlens.probes.request_context import VARIABLE as _REQUEST
from beamlens_actors import clock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.interfaces import ExceptionContext

_MOST_PENDING = 10_000
_MOST_CHECKOUTS = 2000
_MOST_HELD = 100
_MOST_LEASES = 2000
_HELD_LONG_S = 1.0

_numbers = itertools.count(1)


class Checkout(NamedTuple):
    """A connection was asked for.

    Attributes:
        at: When that ended, in seconds since the epoch.
        queued: Seconds that it waited for a free connection.
        connecting: Seconds in which a new connection was made.
        site: The line that asked.
        error: ``""`` when it was given.
        exhausted: It was not given because the pool had none left in time.
    """

    at: float
    queued: float
    connecting: float
    site: Site | None
    error: str
    exhausted: bool = False


class Held(NamedTuple):
    """A connection that was given back after a long time."""

    at: float
    seconds: float
    site: Site | None


class QueryRecorder:
    """Records one engine. Its listeners do as little as they can; the ledger adds up on Beamlens's own threads."""

    def __init__(self, engine: Engine) -> None:
        self.since: float | None = None
        self.pending: deque[Finished] = deque(maxlen=_MOST_PENDING)
        self.ledger = Ledger(Fingerprints(engine.dialect.name))
        self.leases: dict[int, Lease] = {}
        self.asking: dict[int, tuple[float, Site | None]] = {}
        self.checkouts: deque[Checkout] = deque(maxlen=_MOST_CHECKOUTS)
        self.held: deque[Held] = deque(maxlen=_MOST_HELD)
        self.failures = itertools.count()
        self._engine = weakref.ref(engine)
        self._find_site = CallSites("sqlalchemy").find
        self._key = f"_beamlens_{next(_numbers)}"
        self._asked = itertools.count()
        self._seen = itertools.count()
        self.dialect = engine.dialect.name
        self._listeners: dict[str, Callable[..., Any]] = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._failed,
            "begin": self._began,
            "commit": self._ended,
            "rollback": self._ended,
            "commit_twophase": self._ended,
            "rollback_twophase": self._ended,
            "checkin": self._given_back,
            "detach": self._given_back,
            "engine_disposed": self._disposed,
        }

    # -- life ------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine | None:
        """The engine; ``None`` when the host has none any more."""
        return self._engine()

    def install(self) -> None:
        """Begin to listen; listening already: nothing changes."""
        engine = self.engine
        if engine is None or self.since is not None:
            return
        self.since = clock.time()
        listeners.add(engine, self._listeners)
        pool.add(engine.pool, self)

    def uninstall(self) -> None:
        """Take everything out; what was recorded stays."""
        self.since = None
        engine = self.engine
        if engine is not None:
            pool.remove(engine.pool, self)
            listeners.remove(engine, self._listeners)
        for lease in list(self.leases.copy().values()):
            self._forget(lease)
        self.leases.clear()
        self.asking.clear()

    def listening(self) -> bool:
        """Whether the engine still has the listeners; its host may have taken them out."""
        engine = self.engine
        if engine is None or self.since is None:
            return False
        return listeners.are_there(engine, self._listeners) and pool.is_tapped(engine.pool, self)

    def _forget(self, lease: Lease) -> None:
        lease.over = True
        fairy = lease.fairy()
        conn = None if lease.connection is None else lease.connection()
        for held in (getattr(fairy, "record_info", None), getattr(conn, "__dict__", None)):
            if held is not None:
                held.pop(self._key, None)

    # -- statements, on the host's threads ---------------------------------------------------------------------

    def _before(
        self, conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        try:
            lease = conn.__dict__.get(self._key)
            if lease is None or lease.over:
                lease = self._lease(conn)
            site = self._find_site(_getframe(1))
            text = statement if len(statement) <= MOST_TEXT else statement[:MOST_TEXT]
            lease.running = text, site, perf_counter()
        except Exception:  # noqa: BLE001 - the host's statement goes first
            next(self.failures)
        return statement, parameters

    def _after(self, conn: Any, cursor: Any, _statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        now = perf_counter()
        try:
            lease = conn.__dict__.get(self._key)
            if lease is not None and lease.running is not None:
                self._finish(lease, now, cursor.rowcount)
        except Exception:  # noqa: BLE001
            next(self.failures)

    def _finish(self, lease: Lease, now: float, rows: int, error: str = "", lost: bool = False) -> None:
        text, site, began = lease.running  # type: ignore[misc]
        lease.running, lease.last, lease.last_site = None, now, site
        if text[:1] not in "Ss" or "FOR " in text[-40:]:
            lease.wrote_site = site
        queued = lease.queued
        if queued:
            lease.queued = 0.0
        next(self._seen)
        group: int | str = lease.group
        request = _REQUEST.get()
        if request is None or request.over:
            request = None
        else:
            group = request.trace_id
            request.add_sql(now - began, self.ledger.prints.of(text), None if site is None else site.place)
        self.pending.append((now, now - began, text, site, group, rows, queued, error, lost, request))

    def _failed(self, context: ExceptionContext) -> None:
        now = perf_counter()
        try:
            conn, error = context.connection, context.original_exception
            if conn is None or getattr(context, "is_pre_ping", False):
                return
            lease = self._lease(conn)
            if lease.running is not None and isinstance(error, Exception):
                self._finish(lease, now, -1, error_kind(error), bool(context.is_disconnect))
            else:  # cancelled, interrupted: no fault of the database's
                lease.running = None
        except Exception:  # noqa: BLE001
            next(self.failures)

    def _lease(self, conn: Any) -> Lease:
        lease: Lease | None = vars(conn).get(self._key)
        if lease is None or lease.over:
            lease = self._find(conn)
            lease.connection = weakref.ref(conn)
            vars(conn)[self._key] = lease
        return lease

    def _find(self, conn: Any) -> Lease:
        """Its lease, or a new one for what was taken before recording began or did not come from the pool."""
        fairy = conn.connection
        info = fairy.record_info
        lease: Lease | None = None if info is None else info.get(self._key)
        return self._begin_lease(fairy, info, None, 0.0) if lease is None or lease.over else lease

    def _begin_lease(self, fairy: Any, info: Any, site: Site | None, queued: float) -> Lease:
        pid = pool.server_pid(fairy) if self.dialect == "postgresql" else None
        lease = Lease(fairy, site, threading.current_thread().name, queued, pid)
        if info is not None:
            info[self._key] = lease
            self.leases[lease.number] = lease
            if len(self.leases) > _MOST_LEASES:
                self.leases.pop(next(iter(self.leases)), None)
        return lease

    # -- transactions ------------------------------------------------------------------------------------------

    def _began(self, conn: Any) -> None:
        try:
            if not _commits_by_itself(conn):
                self._lease(conn).opened = perf_counter()
        except Exception:  # noqa: BLE001
            next(self.failures)

    def _ended(self, conn: Any, *_two_phase: Any) -> None:
        try:
            lease: Lease | None = vars(conn).get(self._key)
            if lease is not None:
                lease.next_group()
        except Exception:  # noqa: BLE001
            next(self.failures)

    # -- the pool ----------------------------------------------------------------------------------------------

    def asks(self) -> int:
        """See `pool.PoolSink`."""
        number = next(self._asked)
        try:
            self.asking[number] = perf_counter(), self._find_site(_getframe(2))
        except Exception:  # noqa: BLE001
            next(self.failures)
        return number

    def got(self, number: int, fairy: Any) -> None:
        """See `pool.PoolSink`."""
        try:
            began, site = self.asking.pop(number, (perf_counter(), None))
            taken = perf_counter() - began
            info = fairy.record_info
            known: Lease | None = None if info is None else info.get(self._key)
            if known is not None and known.held and known.fairy() is fairy:
                return  # a pool that gives a thread the connection that it has already
            connecting = _connecting(fairy, taken)
            lease = self._begin_lease(fairy, info, site, taken - connecting)
            self.checkouts.append(Checkout(clock.time(), lease.queued, connecting, site, ""))
        except Exception:  # noqa: BLE001
            next(self.failures)

    def refused(self, number: int, error: BaseException) -> None:
        """See `pool.PoolSink`."""
        try:
            began, site = self.asking.pop(number, (perf_counter(), None))
            if isinstance(error, Exception):
                taken = perf_counter() - began
                queue = type(error).__name__ == "TimeoutError"
                kind = error_kind(getattr(error, "orig", None) or error)
                self.checkouts.append(
                    Checkout(clock.time(), taken if queue else 0.0, 0.0 if queue else taken, site, kind, queue)
                )
        except Exception:  # noqa: BLE001
            next(self.failures)

    def _given_back(self, _dbapi_connection: Any, record: Any) -> None:
        try:
            lease: Lease | None = record.record_info.pop(self._key, None)
            if lease is None:
                return
            lease.over = True
            self.leases.pop(lease.number, None)
            seconds = perf_counter() - lease.began
            if seconds >= _HELD_LONG_S:
                self.held.append(Held(clock.time(), seconds, lease.site))
        except Exception:  # noqa: BLE001
            next(self.failures)

    def _disposed(self, engine: Any) -> None:
        try:
            if self.since is not None:
                pool.add(engine.pool, self)  # it has a new one
        except Exception:  # noqa: BLE001
            next(self.failures)

    # -- reading, on Beamlens's threads ------------------------------------------------------------------------

    def settle(self) -> Ledger:
        """The ledger with all that has been heard so far."""
        self.ledger.fold(self.pending)
        return self.ledger

    def statements_seen(self) -> int:
        """Statements heard since recording began."""
        return taken(self._seen)

    def dropped(self) -> int:
        """Statements that came faster than they could be added up."""
        return max(0, taken(self._seen) - self.ledger.folded - len(self.pending))

    def holders(self) -> list[Lease]:
        """Connections that are taken, the longest first."""
        found = [lease for lease in self.leases.copy().values() if lease.held]
        return sorted(found, key=lambda lease: lease.began)


def _commits_by_itself(conn: Any) -> bool:
    level = conn.get_execution_options().get("isolation_level") or getattr(
        conn.dialect, "_on_connect_isolation_level", None
    )
    return isinstance(level, str) and level.upper() == "AUTOCOMMIT"


def _connecting(fairy: Any, taken: float) -> float:
    """How much of a checkout went into a new connection: the pool's record knows when it began to make one."""
    record = getattr(fairy, "_connection_record", None)
    made = getattr(record, "starttime", None)
    if not isinstance(made, float):
        return 0.0
    age = time.time() - made  # the same clock as the pool's
    return age if 0.0 <= age <= taken else 0.0


def error_kind(error: BaseException) -> str:
    """Type of a driver's error, with the SQLSTATE if it has one: ``UniqueViolation (23505)``."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    name = type(error).__name__
    return f"{name} ({state})" if isinstance(state, str) else name


def taken(counter: itertools.count[int]) -> int:
    """How many numbers were taken from a counter; takes none."""
    return int(repr(counter)[6:-1])
