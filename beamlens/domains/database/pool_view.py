"""The pool's numbers: who waits for a connection, how long, and what is done with those that are taken."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from beamlens.domains.database.checkouts import Checkout
from beamlens.domains.database.engines import pool_numbers
from beamlens.domains.database.figures import milliseconds
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.database.totals import WINDOW
from beamlens_actors import clock

CONTENDED_S = 0.050
LATELY_S = 5


class PoolView:
    """Reads what a recorder knows of its engine's pool."""

    def __init__(self, recorder: QueryRecorder) -> None:
        self._recorder = recorder

    def numbers(self) -> dict[str, Any]:
        """The snapshot's part about the pool."""
        now = perf_counter()
        leases = self._recorder.holders()
        size, checked_out, limit = pool_numbers(self._recorder.engine)
        waiting, longest, _ = self.waits(LATELY_S)
        running = [one for one in (lease.running for lease in leases) if one is not None]
        idle = [lease.idle(now) for lease in leases if lease.opened is not None]
        return {
            "pool_size": size,
            "pool_checked_out": checked_out if checked_out is not None else len(leases),
            "pool_limit": limit,
            "pool_waiting": waiting,
            "pool_wait_ms": milliseconds(longest),
            "pool_refused_1m": len(self.refused(WINDOW)),
            # A database in this very process: nobody else waits for its transactions.
            "idle_transaction_s": 0.0 if self._recorder.dialect == "sqlite" else round(max(idle, default=0.0), 1),
            "running_s": round(max((now - began for _, _, began in running), default=0.0), 1),
        }

    def refused(self, seconds: float) -> list[Checkout]:
        """Checkouts of the last seconds that ended without a connection."""
        oldest = clock.time() - seconds
        return [one for one in self._recorder.checkouts.copy() if one.error and one.at > oldest]

    def waits(self, seconds: float) -> tuple[int, float, int]:
        """Who wait for a connection now; the longest wait of now and of the last seconds; refusals in these."""
        now, oldest = perf_counter(), clock.time() - seconds
        asking = [now - began for began, _ in self._recorder.asking.copy().values()]
        lately = [one for one in self._recorder.checkouts.copy() if one.at > oldest]
        longest = max([*asking, *(one.queued for one in lately)], default=0.0)
        waiting = sum(age >= CONTENDED_S for age in asking)
        return waiting, longest, sum(bool(one.error) for one in lately)
