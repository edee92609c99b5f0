"""The `database` domain: statements, pool and server behind one SQLAlchemy engine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from beamlens.detect import Sensor, SensorState, Shift, Threshold
from beamlens.domains.database import causes, postgres
from beamlens.domains.database.engines import sync_engine
from beamlens.domains.database.figures import milliseconds as _ms
from beamlens.domains.database.figures import percentile
from beamlens.domains.database.heard_callbacks import HeardCallbacks
from beamlens.domains.database.pool_view import LATELY_S, PoolView
from beamlens.domains.database.pulse import POLL_S, Pulse
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.database.server import PostgresServer, ServerError
from beamlens.domains.database.server_callbacks import ServerCallbacks
from beamlens.domains.database.store import QueryStore
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens_supervision import ChildSpec

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOOK_S = 20.0
_FEWEST_KNOWN = 20
_FEWEST_REPEATED_PER_S = 20.0
_REPEATED = Metric("repeated_pct", "%", high=50, description="share of statements that one line repeats in a loop")
_SLOWER = Metric(
    "slower_pct", "%", high=30, description="share of all statements, or of the runs of one, that take thrice as long"
)
_numbers = itertools.count(1)


class DatabaseDomain(HeardCallbacks, ServerCallbacks):
    """The SQL statements of one SQLAlchemy engine, its connection pool and, on PostgreSQL, the server behind it.

    Statements are shown as fingerprints: literals, parameters, list lengths and comments are taken out; what else a
    text holds comes from the program, so never trust it. Places are lines of the program's own code. Times are as the
    driver sees them, so they include the network. A statement is slow from 100 ms, a checkout of a connection is
    contended from 50 ms in the pool's queue. Counts of repeated statements are of reads that one line sends ten times
    or more within one transaction or request (N+1: one query for a list, then one for each of its rows).

    Normal: statements take their usual time, nobody waits for a connection, no lock waits over a second, few repeats.
    Worth an alert: statements that take thrice their own usual time; errors that jump; waits for the pool (see
    database_holders for who keeps connections); a transaction idle for a minute; lock waits (database_locks names the
    blocker); an N+1 that makes up most statements.
    """

    name: ClassVar[str] = "database"
    title: ClassVar[str] = "Database"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("query_count_1m", "statements", description="in the last minute", direction="none"),
        Metric("avg_query_time_ms", "ms", description="mean of the last minute", direction="up", matters=20),
        Metric("max_query_time_ms", "ms", description="longest of the last minute", direction="none"),
        Metric(
            "p95_query_time_ms",
            "ms",
            description="of the last minute, or of its latest 5000 statements",
            direction="up",
            matters=50,
        ),
        Metric(
            "slow_query_count",
            "statements",
            description="of at least 100 ms, in the last minute",
            direction="up",
            matters=20,
        ),
        Metric(
            "error_count", "errors", description="statements that failed in the last minute", direction="up", matters=5
        ),
        Metric(
            "repeated_query_count",
            "statements",
            description="reads repeated in a loop, in the last minute",
            direction="none",
        ),
        Metric("pool_size", "connections", description="that the pool keeps", direction="none"),
        Metric("pool_checked_out", "connections", description="taken now", direction="none"),
        Metric(
            "pool_limit", "connections", description="the most that the pool gives, overflow included", direction="none"
        ),
        Metric("pool_waiting", "waits", description="who wait for a connection now", direction="up", matters=3),
        Metric(
            "pool_wait_ms",
            "ms",
            high=1000,
            critical=10_000,
            description="longest wait of now and the last 5 s",
            matters=200,
        ),
        Metric(
            "pool_refused_1m",
            "refusals",
            description="checkouts that ended without a connection",
            direction="up",
            matters=3,
        ),
        Metric(
            "idle_transaction_s",
            "s",
            high=60,
            description="longest that an open transaction of ours is unused",
            matters=10,
        ),
        Metric("running_s", "s", description="age of the oldest statement that runs now", direction="up", matters=10),
        Metric("lock_wait_s", "s", high=5, critical=60, description="longest wait for a lock on the server", matters=2),
        Metric("server_connections_used_pct", "%", high=90, description="of the server's limit", matters=20),
        Metric("statements_seen", "statements", description="since recording began", kind="counter", direction="none"),
        Metric("instrumentation", description="whether the engine is listened to"),
        Metric("dropped", "statements", description="came too fast to be added up", kind="counter", direction="none"),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor("latency_shift", "slower_pct", lambda: Threshold(_SLOWER)),
        Sensor(
            "database_errors",
            "errors_per_s",
            lambda: Shift(least=1.5, ratio=3.0, recent=4, unit="errors/s", what="the rate of failing statements"),
        ),
        Sensor(
            "repeated_statements",
            "repeated_pct",
            lambda: Threshold(_REPEATED),
        ),
    )

    def __init__(self, engine: Engine | AsyncEngine, name: str = "database", poll: float = POLL_S) -> None:
        """Watch an engine. It is held weakly: it may go whenever its owner lets it go.

        Args:
            engine: The engine whose statements and pool are watched.
            name: The domain's name and the prefix of its callbacks, for a second database.
            poll: Seconds between two readings of a PostgreSQL server; sooner while a statement hangs.

        Raises:
            TypeError: What is given is no engine.
        """
        if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
            raise TypeError(f"name must be a lower-case identifier, not {name!r}: it is the prefix of the callbacks")
        if isinstance(poll, bool) or not isinstance(poll, (int, float)) or not poll > 0:
            raise TypeError(f"poll must be seconds above 0, not {poll!r}")
        watched = sync_engine(engine)
        if name != "database":
            self.name = name  # type: ignore[misc]  # each instance may be another database
            self.title = f"Database {name}"  # type: ignore[misc]
        self.recorder = QueryRecorder(watched)
        self._pool = PoolView(self.recorder)
        self._dialect = watched.dialect.name
        self._server = PostgresServer(watched) if self._dialect == "postgresql" else None
        self._pulse = None if self._server is None else Pulse(self._server, poll)
        self._store = f"QueryStore-{next(_numbers)}"

    def children(self) -> Sequence[ChildSpec]:
        """The QueryStore."""
        start = QueryStore.options(name=self._store).start
        return [ChildSpec(self._store, start, (self.recorder, self._pulse), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the QueryStore not have done so; break off what the server is being asked."""
        self.recorder.uninstall()
        if self._server is not None:
            self._server.close()

    # -- numbers ---------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 2 ms with every ring full, far less otherwise. Nothing is asked of the server."""
        if self.recorder.since is None:
            data: dict[str, Any] = dict.fromkeys(metric.name for metric in self.metrics)
            data["_unavailable"] = dict.fromkeys(list(data), "no QueryStore runs: nothing is recorded")
            return data
        ledger = self.recorder.settle()
        totals = ledger.totals()
        times = [one.seconds for one in ledger.recent()]
        seen = self.recorder.statements_seen()
        data = {
            "query_count_1m": totals.count,
            "avg_query_time_ms": _ms(totals.seconds / totals.count) if totals.count else 0.0,
            "max_query_time_ms": _ms(totals.most),
            "p95_query_time_ms": _ms(percentile(times, 0.95) or 0.0),
            "slow_query_count": totals.slow,
            "error_count": totals.errors,
            "repeated_query_count": totals.repeated,
            **self._pool_numbers(),
            "statements_seen": seen,
            "instrumentation": f"active, {seen} statements seen" if self.recorder.listening() else "not active",
            "dropped": self.recorder.dropped(),
        }
        data["_unavailable"] = {name: self._reason(name) for name, value in data.items() if value is None}
        if not data["_unavailable"]:
            del data["_unavailable"]
        return data

    def _pool_numbers(self) -> dict[str, Any]:
        pulse = self._pulse.values() if self._pulse is not None else {}
        return {
            **self._pool.numbers(),
            "lock_wait_s": pulse.get("lock_wait_s"),
            "server_connections_used_pct": pulse.get("connections_used_pct"),
        }

    def _reason(self, name: str) -> str:
        if name in ("lock_wait_s", "server_connections_used_pct"):
            if self._pulse is None:
                return f"not available for this database ({self._dialect}): only PostgreSQL is asked"
            return self._pulse.error or "the server has not been asked yet"
        if self.recorder.engine is None:
            return "the engine is gone"
        return "this pool has no such number"

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read: rates over the last five whole seconds, the pool's and the server's waits."""
        ledger = self.recorder.settle()
        lately = ledger.totals(LATELY_S, whole=True)
        often = lately.repeated / LATELY_S >= _FEWEST_REPEATED_PER_S
        known = ledger.totals(2 * LATELY_S, whole=True)
        share = 100 * known.slower / known.known if known.known >= _FEWEST_KNOWN else 0.0
        unmade = [one for one in self._pool.refused(2) if not one.exhausted]
        pool = self._pool_numbers()
        return {
            "slower_pct": max(share, ledger.late_pct(2 * LATELY_S)),
            "errors_per_s": (ledger.totals(2, whole=True).faults + len(unmade)) / 2,
            "repeated_pct": min(100.0, 100 * lately.repeated / lately.count) if often and lately.count else 0.0,
            **{name: pool[name] for name in ("pool_wait_ms", "idle_transaction_s", "lock_wait_s")},
            "server_connections_used_pct": pool["server_connections_used_pct"],
        }

    # -- why -------------------------------------------------------------------------------------------------

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Name the statement and the line, who holds the connections, or who holds the lock (asks the server)."""
        name = sensor.name if isinstance(sensor, SensorState) else ""
        ledger = self.recorder.settle()
        if name == "repeated_statements":
            return causes.repeated(ledger.repeats(_LOOK_S))
        if name == "latency_shift":
            return [*self._locks(), *causes.latency(ledger.recent(_LOOK_S), ledger.usual(), _LOOK_S)]
        if name == "database_errors":
            refused = self._pool.refused(_LOOK_S)
            return [*causes.unreachable(refused, _LOOK_S), *causes.errors(ledger.errors(_LOOK_S), _LOOK_S)]
        if name == "pool_wait_ms_threshold":
            waits = causes.Waits(*self._pool.waits(_LOOK_S))
            held = causes.exhausted(self.recorder.holders(), waits)
            return [*self._locks(), *causes.unreachable(self._pool.refused(_LOOK_S), _LOOK_S), *held]
        if name == "idle_transaction_s_threshold":
            return causes.left_open(self.recorder.holders())
        if name == "lock_wait_s_threshold":
            return self._locks()
        return ()

    def _locks(self) -> list[Evidence]:
        if self._server is None:
            return []
        try:
            waiting = self._server.ask(postgres.locks)["waiting"]
        except ServerError:
            return []
        return causes.blocked(waiting, self._ours())

    def excerpt(self, limit: int = 5) -> list[str]:
        """The latest slow and failed statements."""
        ledger = self.recorder.settle()
        notable = sorted((*ledger.slow(), *ledger.errors()), key=lambda one: one.at, reverse=True)
        return [
            f"{_ms(one.seconds)} ms {one.error or 'ok'} at {one.site or 'an unknown line'}: {one.fingerprint[:200]}"
            for one in list(dict.fromkeys(notable))[:limit]
        ]
