"""What is heard of one engine: its statements, its transactions, its pool."""

from __future__ import annotations

import itertools
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamlens.domains.database import execution, listeners, pool
from beamlens.domains.database.checkouts import Checkout, Checkouts
from beamlens.domains.database.fingerprint import Fingerprints
from beamlens.domains.database.leases import Held, Lease, Leases
from beamlens.domains.database.ledger import Ledger
from beamlens.domains.database.statement import Finished
from beamlens.domains.database.statements import Statements
from beamlens.probes.call_site import CallSites, Site
from beamlens_actors import clock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


class QueryRecorder:
    """Records one engine. Its listeners do as little as they can; the ledger adds up on Beamlens's own threads.

    Attributes:
        since: When it began to listen, in seconds since the epoch; ``None`` while it does not.
        dialect: SQLAlchemy's name for the kind of database.
        ledger: What the statements add up to; `settle` brings it up to date.
        failures: How often a listener of ours failed; should be none.
    """

    def __init__(self, engine: Engine) -> None:
        self.since: float | None = None
        self.dialect = engine.dialect.name
        self._fingerprints = Fingerprints(self.dialect)
        self.ledger = Ledger(self._fingerprints)
        self.failures = itertools.count()
        self._engine = weakref.ref(engine)
        sites = CallSites("sqlalchemy")
        self._leases = Leases(engine)
        self._statements = Statements(self._leases, self.ledger.prints, sites, self.failures, self.dialect)
        self._checkouts = Checkouts(self._leases, sites, self.failures)
        self._listeners: dict[str, Callable[..., Any]] = {
            "checkin": self._given_back,
            "detach": self._given_back,
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
        _watch_forks(self)
        self._leases.closed = False
        listeners.add(engine, self._listeners)
        execution.add(engine.dialect, self._statements.hear)
        pool.add(engine.pool, self._checkouts)

    def uninstall(self) -> None:
        """Take everything out; what was recorded stays."""
        self.since = None
        engine = self.engine
        if engine is not None:
            execution.remove(engine.dialect, self._statements.hear)
            pool.remove(engine.pool, self._checkouts)
            listeners.remove(engine, self._listeners)
        self._leases.forget()
        self._checkouts.asking.clear()

    def lost_in_fork(self) -> None:
        """In a forked child: nobody reads here what is heard. Takes no lock that another thread may have held."""
        self.ledger = Ledger(self._fingerprints)
        self.uninstall()
        self.pending.clear()

    def listening(self) -> bool:
        """Whether the engine still has the listeners; its host may have taken them out."""
        engine = self.engine
        if engine is None or self.since is None:
            return False
        return (
            listeners.are_there(engine, self._listeners)
            and execution.is_heard(engine.dialect, self._statements.hear)
            and pool.is_tapped(engine.pool, self._checkouts)
        )

    # -- connections, on the host's threads ----------------------------------------------------------------------

    def _given_back(self, _dbapi_connection: Any, record: Any) -> None:
        try:
            self._leases.end(record)
        except Exception:  # noqa: BLE001
            next(self.failures)

    # -- reading, on Beamlens's threads ------------------------------------------------------------------------

    def settle(self) -> Ledger:
        """The ledger with all that has been heard so far."""
        self.ledger.fold(self.pending)
        return self.ledger

    @property
    def pending(self) -> deque[Finished]:
        """Statements that ended and have not been added up yet."""
        return self._statements.pending

    def statements_seen(self) -> int:
        """Statements heard since recording began."""
        return self._statements.seen()

    def dropped(self) -> int:
        """Statements that came faster than they could be added up."""
        return max(0, self._statements.seen() - self.ledger.folded - len(self.pending))

    def fingerprint(self, text: str) -> str:
        """That of a statement's text."""
        return self._fingerprints.of(text)

    def holders(self) -> list[Lease]:
        """Connections that are taken, the longest first."""
        return self._leases.holders()

    @property
    def asking(self) -> dict[int, tuple[float, Site | None]]:
        """Who waits for a connection: since when, on ``time.perf_counter``, and the line."""
        return self._checkouts.asking

    @property
    def checkouts(self) -> deque[Checkout]:
        """The latest 2000 checkouts, oldest first."""
        return self._checkouts.latest

    @property
    def held(self) -> deque[Held]:
        """The latest hundred connections that were kept for a second or longer, oldest first."""
        return self._leases.held


_installed: weakref.WeakSet[QueryRecorder] = weakref.WeakSet()
_forks_watched = False


def _watch_forks(recorder: QueryRecorder) -> None:
    global _forks_watched
    _installed.add(recorder)
    if not _forks_watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
        _forks_watched = True


def _after_fork() -> None:
    for recorder in list(_installed):
        try:
            recorder.lost_in_fork()
        except Exception:  # noqa: BLE001 - the child goes on, and so do the others
            next(recorder.failures)
