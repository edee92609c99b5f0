"""Hears an engine's statements, on the host's threads: no lock, no parameters, never an error of its own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from sys import _getframe
from time import perf_counter
from typing import Any

from beamlens.domains.database.execution import Execute
from beamlens.domains.database.fingerprint import MOST_TEXT
from beamlens.domains.database.leases import Lease, Leases, Running
from beamlens.domains.database.prints import Prints
from beamlens.domains.database.statement import Finished, error_kind
from beamlens.probes.call_site import CallSites
from beamlens.probes.request_context import VARIABLE as _REQUEST
from beamlens.probes.request_context import InboundRequest

_MOST_PENDING = 10_000
_TELLS = "_beamlens_tells"
# Our function, four of SQLAlchemy's own functions, then Connection.execute. What is called otherwise is looked for.
_EXECUTE_DEPTH = 5

Finish = Callable[..., None]


class Statements:
    """Puts down what ended, from where the statements are sent.

    Attributes:
        pending: What ended and has not been added up yet; at most 10 000.
    """

    def __init__(
        self, leases: Leases, prints: Prints, sites: CallSites, failures: itertools.count[int], dialect: str
    ) -> None:
        self.pending: deque[Finished] = deque(maxlen=_MOST_PENDING)
        self._leases = leases
        self._prints = prints
        self._sites = sites
        self._failures = failures
        self._seen = itertools.count()
        self._locks_rows = dialect == "postgresql"
        self._finish = self._make_finish()

    def hear(self, execute: Execute) -> Execute:  # noqa: C901
        """Make what stands before a function that sends a statement: see `execution`."""
        from sqlalchemy.engine import Connection

        # A closure: what it needs is at hand, where `self` would be asked for it at each statement.
        lease_of, key, find, failures = self._leases.of, self._leases.key, self._sites.find, self._failures
        getframe, now, first_frame = _getframe, perf_counter, Connection.execute.__code__
        finish, broke = self._finish, self._broke

        def heard(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
            if context is None:  # nobody knows whose it is
                return execute(cursor, statement, parameters, context)
            running: Any = None
            try:
                conn = context.root_connection
                lease = conn.__dict__.get(key)
                if lease is None or lease.over:
                    lease = lease_of(conn)
                if lease is not None:
                    transaction = conn.get_transaction()
                    if lease.transaction() is not transaction:
                        lease.enter(transaction)
                    try:
                        # A leap over what lies between: a frame that nobody looks at is never made: costs most.
                        frame = getframe(_EXECUTE_DEPTH)
                        if frame.f_code is not first_frame:
                            frame = getframe(1)
                    except ValueError:
                        frame = getframe(1)
                    text = statement if len(statement) <= MOST_TEXT else statement[:MOST_TEXT]
                    running = lease.running = text, find(frame), now()
            except Exception:  # noqa: BLE001 - the host's statement goes first
                next(failures)
                lease = None
            if lease is None:
                return execute(cursor, statement, parameters, context)
            try:
                answer = execute(cursor, statement, parameters, context)
            except BaseException as error:
                broke(lease, running, now(), error, cursor, context)
                raise
            ended = now()
            try:
                try:
                    rows = cursor.rowcount
                except Exception:  # noqa: BLE001 - a driver's own code; the statement ended all the same
                    rows = -1
                finish(lease, running, ended, context, rows)
            except Exception:  # noqa: BLE001
                next(failures)
            return answer

        return heard

    def _make_finish(self) -> Finish:
        locks_rows, tell, count = self._locks_rows, self._tell, self._seen.__next__
        put, request_of = self.pending.append, _REQUEST.get

        def finish(  # noqa: PLR0917
            lease: Lease, running: Running, now: float, context: Any, rows: int, error: str = "", lost: bool = False
        ) -> None:
            lease.running = None
            lease.last = now
            site = lease.last_site = running[1]
            if locks_rows and (running[0][:1] not in "Ss" or "FOR " in running[0][-40:]):
                lease.wrote(site)
            queued = lease.queued
            if queued:
                lease.queued = 0.0
            count()
            request = request_of()
            if request is None or request.over:
                put((now, running, lease.group, rows, queued, error, lost, None))
            else:
                tell(request, context, running, now)
                put((now, running, request.trace_id, rows, queued, error, lost, request))

        return finish

    def _broke(  # noqa: PLR0917
        self, lease: Lease, running: Running, now: float, error: BaseException, cursor: Any, context: Any
    ) -> None:
        """A statement ended with an error."""
        try:
            if isinstance(error, Exception):
                lost = self._is_lost(error, context.root_connection, cursor)
                self._finish(lease, running, now, context, -1, error_kind(error), lost)
            else:  # cancelled, interrupted: no fault of the database's
                lease.running = None
        except Exception:  # noqa: BLE001
            next(self._failures)

    def _tell(self, request: InboundRequest, context: Any, running: Running, now: float) -> None:
        """Tell a request of a statement: once, however many watch this engine."""
        text, site, began = running
        if vars(context).setdefault(_TELLS, self) is self:
            request.add_sql(now - began, self._prints.name(text), None if site is None else site.place)

    def _is_lost(self, error: Exception, conn: Any, cursor: Any) -> bool:
        """Whether connection or server is gone: asked as SQLAlchemy is about to ask."""
        try:
            dialect = conn.dialect
            return isinstance(error, dialect.loaded_dbapi.Error) and bool(
                dialect.is_disconnect(error, None if conn.invalidated else conn.connection, cursor)
            )
        except Exception:  # noqa: BLE001 - a dialect's own code; the statement ended all the same
            next(self._failures)
            return False

    def seen(self) -> int:
        """Statements heard since recording began."""
        return taken(self._seen)


def taken(counter: itertools.count[int]) -> int:
    """How many numbers were taken from a counter; takes none."""
    return int(repr(counter)[6:-1])
