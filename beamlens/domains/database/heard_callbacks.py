"""The callbacks of the `database` domain that tell what was heard in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from beamlens.domains.arguments import clamp, error
from beamlens.domains.database.figures import milliseconds as _ms
from beamlens.domains.database.figures import percentile
from beamlens.domains.database.fingerprint import source
from beamlens.domains.database.leases import Lease
from beamlens.domains.database.ledger import SLOW_S
from beamlens.domains.database.pool_view import CONTENDED_S, PoolView
from beamlens.domains.database.prints import Print
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.database.repeats import REPEATED
from beamlens.domains.database.statement import Statement
from beamlens.domains.database.totals import WINDOW
from beamlens.domains.domain import Domain, callback
from beamlens.probes.call_site import Site
from beamlens_actors import clock

_SORTS: dict[str, Callable[[Print], float]] = {
    "total_ms": lambda one: one.seconds,
    "mean_ms": lambda one: one.seconds / max(1, one.count),
    "max_ms": lambda one: one.most,
    "count": lambda one: one.count,
    "errors": lambda one: one.errors,
}


class HeardCallbacks(Domain):
    """Statements, pool and who holds what; part of `DatabaseDomain`. Nothing is asked of the server."""

    recorder: QueryRecorder
    _pool: PoolView

    @callback
    def query_stats(self) -> dict[str, Any]:
        """Counts and times of the last minute, errors by kind, and the ten statements that took most time.

        Keys: query_count, avg_time_ms, max_time_ms, p95_time_ms, slow_query_count, error_count, rows, errors_by_kind,
        top_statements (since recording began). Some milliseconds at most; nothing is asked of the server.
        """
        ledger = self.recorder.settle()
        totals, recent = ledger.totals(), ledger.recent()
        kinds = Counter(one.error for one in recent if one.error)
        return {
            "query_count": totals.count,
            "avg_time_ms": _ms(totals.seconds / totals.count) if totals.count else 0.0,
            "max_time_ms": _ms(totals.most),
            "p95_time_ms": _ms(percentile((one.seconds for one in recent), 0.95) or 0.0),
            "slow_query_count": totals.slow,
            "error_count": totals.errors,
            "rows": totals.rows,
            "errors_by_kind": dict(kinds.most_common(10)),
            "top_statements": self._statements(10, "total_ms"),
        }

    @callback
    def statements(self, limit: int = 10, sort_by: str = "total_ms") -> Any:
        """Statements by fingerprint since recording began; sort_by: total_ms, mean_ms, max_ms, count, errors.

        At most 50 of at most 500 that are told apart. Costs nothing on the server.
        """
        if sort_by not in _SORTS:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(_SORTS)}")
        return self._statements(clamp(limit), sort_by)

    def _statements(self, limit: int, sort_by: str) -> list[dict[str, Any]]:
        found = sorted(self.recorder.settle().fingerprints(), key=_SORTS[sort_by], reverse=True)
        return [
            {
                "statement": one.fingerprint,
                "source": source(one.fingerprint),
                "count": one.count,
                "total_ms": _ms(one.seconds),
                "mean_ms": _ms(one.seconds / max(1, one.count)),
                "max_ms": _ms(one.most),
                "errors": one.errors,
                "rows": one.rows,
                "places": [{"at": _at(site), "count": count} for site, count in _top(one.sites, 3)],
            }
            for one in found[:limit]
        ]

    @callback
    def slow_queries(self, limit: int = 10) -> dict[str, Any]:
        """The latest statements of 100 ms or more, newest first: queries (at most 50 of 200 held), threshold_ms.

        total_time_ms is queue_time_ms (waiting for a connection) and query_time_ms; result is ok or the error.
        """
        return {
            "queries": [_slow(one) for one in self.recorder.settle().slow()[: clamp(limit)]],
            "threshold_ms": 1e3 * SLOW_S,
        }

    @callback
    def repeated(self, limit: int = 10) -> list[dict[str, Any]]:
        """Reads that one line sends ten times or more in a transaction or request (N+1), the most first; at most 50.

        runs: in how many transactions or requests; most: the most in one of them. Nothing is asked of the server.
        """
        return [
            {
                "statement": one.fingerprint,
                "at": _at(one.site),
                "statements": one.statements,
                "runs": one.runs,
                "most": one.most,
                "from": REPEATED,
                "total_ms": _ms(one.seconds),
                "routes": dict(one.routes.most_common(3)),
                "latest": _time(one.latest),
            }
            for one in self.recorder.settle().repeats()[: clamp(limit)]
        ]

    @callback
    def pool_stats(self) -> dict[str, Any]:
        """The connection pool: size, checked out, limit, and the checkouts of the last minute.

        avg, max and p95 of queue_time_ms (waits for a free connection; new connections are connect_time_ms), the
        high_contention_count (waits of 50 ms or more), refused. Some milliseconds at most.
        """
        oldest = clock.time() - WINDOW
        recent = [one for one in self.recorder.checkouts.copy() if one.at > oldest]
        queued = [one.queued for one in recent]
        connecting = [one.connecting for one in recent if one.connecting > 0]
        numbers = self._pool.numbers()
        return {
            **{name: numbers[name] for name in ("pool_size", "pool_checked_out", "pool_limit", "pool_waiting")},
            "checkouts": len(recent),
            "avg_queue_time_ms": _ms(sum(queued) / len(queued)) if queued else 0.0,
            "max_queue_time_ms": _ms(max(queued, default=0.0)),
            "p95_queue_time_ms": _ms(percentile(queued, 0.95) or 0.0),
            "high_contention_count": sum(one >= CONTENDED_S for one in queued) + numbers["pool_waiting"],
            "new_connections": len(connecting),
            "max_connect_time_ms": _ms(max(connecting, default=0.0)),
            "refused": dict(Counter(one.error for one in recent if one.error)),
        }

    @callback
    def holders(self, limit: int = 20) -> dict[str, Any]:
        """Who has connections now, the longest first (at most 50), who waits for one, and who kept one for long before.

        taken_at is the line that took it; idle_s is since its last statement; statement is what runs or ran last there.
        """
        now, most = perf_counter(), clamp(limit)
        waiting = sorted(self.recorder.asking.copy().values(), key=lambda one: one[0])
        return {
            "holders": [self._holder(lease, now) for lease in self.recorder.holders()[:most]],
            "waiting": [{"at": _at(site), "seconds": round(now - began, 3)} for began, site in waiting[:most]],
            "held_long_before": [
                {"time": _time(one.at), "seconds": round(one.seconds, 3), "taken_at": _at(one.site)}
                for one in list(reversed(self.recorder.held.copy()))[:most]
            ],
        }

    def _holder(self, lease: Lease, now: float) -> dict[str, Any]:
        running = lease.running
        return {
            "taken_at": _at(lease.site),
            "thread": lease.thread,
            "seconds": round(now - lease.began, 3),
            "idle_s": round(lease.idle(now), 3),
            "transaction_s": None if lease.opened is None else round(now - lease.opened, 3),
            "last_statement_at": _at(running[1] if running is not None else lease.last_site),
            "running": None if running is None else self.recorder.fingerprint(running[0]),
            "server_pid": lease.server_pid,
        }


def _top(counts: Mapping[Site | None, int], limit: int) -> list[tuple[Site | None, int]]:
    return Counter(counts).most_common(limit)


def _at(site: Site | None) -> str | None:
    return None if site is None else str(site)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _slow(one: Statement) -> dict[str, Any]:
    return {
        "time": _time(one.at),
        "source": source(one.fingerprint),
        "statement": one.fingerprint,
        "at": _at(one.site),
        "total_time_ms": _ms(one.queued + one.seconds),
        "query_time_ms": _ms(one.seconds),
        "queue_time_ms": _ms(one.queued),
        "rows": one.rows if one.rows >= 0 else None,
        "result": one.error or "ok",
        "route": one.route or None,
    }
