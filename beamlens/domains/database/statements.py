"""Hears an engine's statements, on the host's threads: no lock, no parameters, never an error."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from sys import _getframe
from time import perf_counter
from typing import TYPE_CHECKING, Any

from beamlens.domains.database.fingerprint import MOST_TEXT
from beamlens.domains.database.leases import Lease, Leases, Running
from beamlens.domains.database.prints import Prints
from beamlens.domains.database.statement import Finished, error_kind
from beamlens.probes.call_site import CallSites
from beamlens.probes.request_context import VARIABLE as _REQUEST
from beamlens.probes.request_context import InboundRequest

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ExceptionContext

_MOST_PENDING = 10_000
_TELLS = "_beamlens_tells"
# Our listener, four of SQLAlchemy's own functions, then Connection.execute. What is called otherwise is looked for.
_EXECUTE_DEPTH = 5

Listener = Callable[..., Any]


class Statements:
    """Makes the listeners of an engine's statements, which put down what ended.

    Attributes:
        pending: What ended and has not been added up yet; at most 10 000.
        began: Listens to ``before_cursor_execute``, with ``retval``.
        ended: Listens to ``after_cursor_execute``.
    """

    def __init__(
        self, leases: Leases, prints: Prints, sites: CallSites, failures: itertools.count[int], dialect: str
    ) -> None:
        self.pending: deque[Finished] = deque(maxlen=_MOST_PENDING)
        self._leases = leases
        self._prints = prints
        self._failures = failures
        self._seen = itertools.count()
        self._locks_rows = dialect == "postgresql"
        self.began = self._make_began(sites)
        self.ended, self._finish = self._make_ended()

    # The two listeners are closures: what they need is at hand, where `self` would be asked for it at each statement.

    def _make_began(self, sites: CallSites) -> Listener:
        from sqlalchemy.engine import Connection

        lease_of, key, find, failures = self._leases.of, self._leases.key, sites.find, self._failures
        getframe, now, execute = _getframe, perf_counter, Connection.execute.__code__

        def began(
            conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
        ) -> tuple[str, Any]:
            try:
                lease = conn.__dict__.get(key)
                if lease is None or lease.over:
                    lease = lease_of(conn)
                try:
                    # A leap over what lies between: a frame that nobody looks at is never made, which costs most.
                    frame = getframe(_EXECUTE_DEPTH)
                    if frame.f_code is not execute:
                        frame = getframe(1)
                except ValueError:
                    frame = getframe(1)
                text = statement if len(statement) <= MOST_TEXT else statement[:MOST_TEXT]
                lease.running = text, find(frame), now()
            except Exception:  # noqa: BLE001 - the host's statement goes first
                next(failures)
            return statement, parameters

        return began

    def _make_ended(self) -> tuple[Listener, Callable[..., None]]:
        key, failures, locks_rows, tell = self._leases.key, self._failures, self._locks_rows, self._tell
        count, put, request_of, clock = self._seen.__next__, self.pending.append, _REQUEST.get, perf_counter

        def finish(lease: Lease, now: float, context: Any, rows: int, error: str = "", lost: bool = False) -> None:  # noqa: PLR0917
            running = lease.running
            if running is None:
                return
            lease.running = None
            lease.last = now
            site = lease.last_site = running[1]
            if locks_rows and (running[0][:1] not in "Ss" or "FOR " in running[0][-40:]):
                lease.wrote_site = site
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

        def ended(conn: Any, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
            now = clock()
            try:
                lease = conn.__dict__.get(key)
                if lease is not None:
                    try:
                        rows = cursor.rowcount
                    except Exception:  # noqa: BLE001 - a driver's own code; the statement ended all the same
                        rows = -1
                    finish(lease, now, context, rows)
            except Exception:  # noqa: BLE001
                next(failures)

        return ended, finish

    def _tell(self, request: InboundRequest, context: Any, running: Running, now: float) -> None:
        """Tell a request of a statement: once, however many watch this engine."""
        text, site, began = running
        if context is None or vars(context).setdefault(_TELLS, self) is self:
            request.add_sql(now - began, self._prints.name(text), None if site is None else site.place)

    def failed(self, context: ExceptionContext) -> None:
        """Listens to ``handle_error``."""
        now = perf_counter()
        try:
            conn, error = context.connection, context.original_exception
            if conn is None or getattr(context, "is_pre_ping", False):
                return
            lease = self._leases.of(conn)
            if lease.running is not None and isinstance(error, Exception):
                kind, lost = error_kind(error), bool(context.is_disconnect)
                self._finish(lease, now, context.execution_context, -1, kind, lost)
            else:  # cancelled, interrupted: no fault of the database's
                lease.running = None
        except Exception:  # noqa: BLE001
            next(self._failures)

    def seen(self) -> int:
        """Statements heard since recording began."""
        return taken(self._seen)


def taken(counter: itertools.count[int]) -> int:
    """How many numbers were taken from a counter; takes none."""
    return int(repr(counter)[6:-1])
