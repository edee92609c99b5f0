"""The callbacks of the `database` domain that ask the PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beamlens.domains.arguments import clamp, error
from beamlens.domains.database import postgres
from beamlens.domains.database.leases import Lease
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.database.server import PostgresServer, ServerError, Session
from beamlens.domains.domain import Domain, callback
from beamlens.probes.call_site import Site


class ServerCallbacks(Domain):
    """What only the server knows; part of `DatabaseDomain`."""

    recorder: QueryRecorder
    _dialect: str
    _server: PostgresServer | None

    def _ask(self, question: Callable[[Session], Any]) -> Any:
        if self._server is None:
            text = f"only PostgreSQL can be asked this; the engine's database is {self._dialect}"
            return error("not_available_for_this_database", text)
        try:
            return self._server.ask(question)
        except ServerError as refused:
            return error(refused.code, str(refused))

    @callback
    def db_slow_queries(self, limit: int = 10) -> Any:
        """PostgreSQL: statements that took most time on the server, of all its clients; at most 50.

        From pg_stat_statements, since its statistics were reset. One read-only query, ended by the server after 3 s.
        """
        return self._ask(lambda session: postgres.slow_queries(session, clamp(limit)))

    @callback
    def index_usage(self, limit: int = 20) -> Any:
        """PostgreSQL: tables by rows read without an index, with the share of scans that used one; at most 50.

        One read-only query of the server's statistics, ended after 3 s.
        """
        return self._ask(lambda session: postgres.index_usage(session, clamp(limit)))

    @callback
    def unused_indexes(self, limit: int = 20) -> Any:
        """PostgreSQL: indexes without a scan since counted_since, largest first; those of constraints are left out.

        At most 50; one read-only query, ended after 3 s. A replica may use what the primary does not.
        """
        return self._ask(lambda session: postgres.unused_indexes(session, clamp(limit)))

    @callback
    def table_sizes(self, limit: int = 20) -> Any:
        """PostgreSQL: the largest tables with their indexes, in MB, and their rows as estimated; at most 50.

        One read-only query that looks at each table's files, ended after 3 s.
        """
        return self._ask(lambda session: postgres.table_sizes(session, clamp(limit)))

    @callback
    def cache_hit(self) -> Any:
        """PostgreSQL: per cent of block reads that its own cache answered; below 99 with a steady load is low.

        The operating system's cache is not seen. One read-only query, ended after 3 s.
        """
        return self._ask(postgres.cache_hit)

    @callback
    def locks(self) -> Any:
        """PostgreSQL: statements that wait for a lock, each with who blocks it (ours: the lines in this process), held.

        At most 50 waiting; two or three read-only queries, ended after 3 s each.
        """
        found = self._ask(postgres.locks)
        if "error" not in found:
            ours = self._ours()
            for row in found["waiting"]:
                for one in (row, *row["blocked_by"]):
                    one["ours"] = _our_side(ours.get(one["pid"]))
        return found

    @callback
    def long_running(self, limit: int = 20) -> Any:
        """PostgreSQL: statements and open transactions of more than a second, the oldest first; at most 50.

        One read-only query, ended after 3 s.
        """
        return self._ask(lambda session: postgres.long_running(session, clamp(limit)))

    @callback
    def bloat(self, limit: int = 20) -> Any:
        """PostgreSQL: dead rows of tables, and space that B-tree indexes waste, both estimated; at most 50 each.

        Right as far as ANALYZE ran lately. Two read-only queries, ended after 3 s each.
        """
        return self._ask(lambda session: postgres.bloat(session, clamp(limit)))

    @callback
    def connections(self) -> Any:
        """PostgreSQL: connections by state and application against the server's limit, the oldest transaction.

        Two read-only queries, ended after 3 s each.
        """
        return self._ask(postgres.connections)

    def _ours(self) -> dict[int, Lease]:
        """The connections of this process that are taken, by the server's process."""
        return {lease.server_pid: lease for lease in self.recorder.holders() if lease.server_pid is not None}


def _our_side(lease: Lease | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    return {"taken_at": _at(lease.site), "last_statement_at": _at(lease.last_site), "thread": lease.thread}


def _at(site: Site | None) -> str | None:
    return None if site is None else str(site)
