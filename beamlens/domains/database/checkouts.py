"""Who asks an engine's pool for a connection, how long that takes, and what comes of it."""

from __future__ import annotations

import itertools
import time
from collections import deque
from sys import _getframe
from time import perf_counter
from typing import Any, NamedTuple

from beamlens.domains.database.leases import Leases
from beamlens.domains.database.statement import error_kind
from beamlens.probes.call_site import CallSites, Site
from beamlens_actors import clock

_MOST_CHECKOUTS = 2000


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


class Checkouts:
    """Hears a pool: a `pool.PoolSink`.

    Attributes:
        asking: Who waits now, by number: since when, on ``time.perf_counter``, and the line.
        latest: The latest 2000 that ended.
    """

    def __init__(self, leases: Leases, sites: CallSites, failures: itertools.count[int]) -> None:
        self.asking: dict[int, tuple[float, Site | None]] = {}
        self.latest: deque[Checkout] = deque(maxlen=_MOST_CHECKOUTS)
        self._leases = leases
        self._sites = sites
        self._failures = failures
        self._numbers = itertools.count()

    def asks(self) -> int:
        """See `pool.PoolSink`."""
        number = next(self._numbers)
        try:
            self.asking[number] = perf_counter(), self._sites.find(_getframe(2))
        except Exception:  # noqa: BLE001 - the host gets its connection first
            next(self._failures)
        return number

    def got(self, number: int, fairy: Any) -> None:
        """See `pool.PoolSink`."""
        try:
            began, site = self.asking.pop(number, (perf_counter(), None))
            taken = perf_counter() - began
            if self._leases.closed or self._leases.known(fairy):  # closed: told for good, under somebody's wrapper
                return
            connecting = _connecting(fairy, taken)
            queued = taken - connecting
            self._leases.begin(fairy, site, queued)
            self.latest.append(Checkout(clock.time(), queued, connecting, site, ""))
        except Exception:  # noqa: BLE001
            next(self._failures)

    def refused(self, number: int, error: BaseException) -> None:
        """See `pool.PoolSink`."""
        try:
            began, site = self.asking.pop(number, (perf_counter(), None))
            if isinstance(error, Exception):
                taken = perf_counter() - began
                queue = type(error).__name__ == "TimeoutError"
                kind = error_kind(getattr(error, "orig", None) or error)
                self.latest.append(
                    Checkout(clock.time(), taken if queue else 0.0, 0.0 if queue else taken, site, kind, queue)
                )
        except Exception:  # noqa: BLE001
            next(self._failures)


def _connecting(fairy: Any, taken: float) -> float:
    """How much of a checkout went into a new connection: the pool's record knows when it began to make one."""
    record = getattr(fairy, "_connection_record", None)
    made = getattr(record, "starttime", None)
    if not isinstance(made, float):
        return 0.0
    age = time.time() - made  # the same clock as the pool's
    return age if 0.0 <= age <= taken else 0.0
