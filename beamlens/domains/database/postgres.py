"""The questions to a PostgreSQL server, from version 12 on. Texts of statements come back as fingerprints."""

from __future__ import annotations

from typing import Any

from beamlens.domains.database.fingerprint import Fingerprints
from beamlens.domains.database.server import Row, ServerError, Session

MB = 1_048_576
_prints = Fingerprints("postgresql")
_HIDDEN = "<insufficient privilege>"

_STATEMENTS = """
SELECT s.query, s.calls, s.total_{e}time AS total_ms, s.mean_{e}time AS mean_ms, s.max_{e}time AS max_ms, s.rows,
       s.shared_blks_hit, s.shared_blks_read
FROM {schema}.pg_stat_statements s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY s.total_{e}time DESC LIMIT {limit}
"""
_INDEX_USE = """
SELECT schemaname AS schema, relname AS table, seq_scan AS sequential_scans, coalesce(idx_scan, 0) AS index_scans,
       round(100.0 * coalesce(idx_scan, 0) / nullif(seq_scan + coalesce(idx_scan, 0), 0), 1) AS index_used_pct,
       seq_tup_read AS rows_read_sequentially, n_live_tup AS rows
FROM pg_stat_user_tables ORDER BY seq_tup_read DESC LIMIT {limit}
"""
_UNUSED = """
SELECT s.schemaname AS schema, s.relname AS table, s.indexrelname AS index,
       round(pg_relation_size(s.indexrelid) / 1048576.0, 2) AS size_mb,
       (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS counted_since
FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
WHERE s.idx_scan = 0 AND NOT i.indisunique AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = s.indexrelid)
ORDER BY pg_relation_size(s.indexrelid) DESC LIMIT {limit}
"""
_SIZES = """
SELECT n.nspname AS schema, c.relname AS table, greatest(c.reltuples, 0)::bigint AS rows_estimate,
       round(pg_table_size(c.oid) / 1048576.0, 2) AS table_mb,
       round(pg_indexes_size(c.oid) / 1048576.0, 2) AS index_mb,
       round(pg_total_relation_size(c.oid) / 1048576.0, 2) AS total_mb
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
ORDER BY pg_total_relation_size(c.oid) DESC LIMIT {limit}
"""
_CACHE = """
SELECT (SELECT round(100.0 * sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0), 2)
        FROM pg_statio_user_tables) AS table_hit_pct,
       (SELECT round(100.0 * sum(idx_blks_hit) / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0), 2)
        FROM pg_statio_user_indexes) AS index_hit_pct,
       (SELECT round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 2)
        FROM pg_stat_database WHERE datname = current_database()) AS database_hit_pct,
       current_setting('shared_buffers') AS shared_buffers
"""
_ACTIVITY = """
a.pid, a.state, a.usename AS username, a.application_name AS application, a.query,
extract(epoch FROM clock_timestamp() - a.xact_start) AS transaction_s,
extract(epoch FROM clock_timestamp() - a.query_start) AS query_s,
extract(epoch FROM clock_timestamp() - a.state_change) AS state_s
"""
_WAITING = """
SELECT {activity}, pg_blocking_pids(a.pid) AS blocked_by, l.mode, l.locktype AS lock,
       l.relation::regclass::text AS relation
FROM pg_stat_activity a
LEFT JOIN LATERAL (SELECT mode, locktype, relation FROM pg_locks WHERE pid = a.pid AND NOT granted LIMIT 1) l ON true
WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.pid <> pg_backend_pid()
ORDER BY a.query_start LIMIT {limit}
"""
_BLOCKERS = "SELECT {activity} FROM pg_stat_activity a WHERE a.pid IN ({pids})"
_HELD = """
SELECT l.mode, l.locktype AS lock, count(*) AS count FROM pg_locks l
WHERE l.granted AND l.pid <> pg_backend_pid()
  AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20
"""
_LONG = """
SELECT {activity}, a.wait_event_type, a.wait_event FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
  AND a.backend_type = 'client backend'
  AND clock_timestamp() - CASE WHEN a.state = 'active' THEN a.query_start ELSE a.xact_start END > interval '1 second'
ORDER BY a.xact_start LIMIT {limit}
"""
_TABLE_BLOAT = """
SELECT schemaname AS schema, relname AS table, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
       round(100.0 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 1) AS dead_pct,
       round(pg_table_size(relid) / 1048576.0, 2) AS table_mb,
       round(pg_table_size(relid) / 1048576.0 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 2) AS dead_mb_estimate,
       greatest(last_vacuum, last_autovacuum) AS last_vacuum
FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY 7 DESC NULLS LAST LIMIT {limit}
"""
# A B-tree's pages hold about 90 % of 8 KB; an entry takes 12 bytes beside its columns, whose mean width is known.
_INDEX_BLOAT = """
SELECT * FROM (
  SELECT n.nspname AS schema, t.relname AS table, c.relname AS index,
         round(c.relpages * 8192 / 1048576.0, 2) AS size_mb,
         round(greatest(0, c.relpages - ceil(c.reltuples * (12 + w.width) / (8192 * 0.9)) - 1)::numeric
               * 8192 / 1048576.0, 2) AS bloat_mb_estimate
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
  JOIN LATERAL (
    SELECT sum(s.avg_width) AS width, count(*) AS known
    FROM pg_attribute a
    JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname
    WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey)
  ) w ON w.known = i.indnatts
  WHERE n.nspname !~ '^(pg_|information_schema$)' AND c.relpages > 10
) found WHERE bloat_mb_estimate > 0 ORDER BY bloat_mb_estimate DESC LIMIT {limit}
"""
_CONNECTIONS = """
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS reserved,
       count(*) AS total,
       count(*) FILTER (WHERE datname = current_database()) AS this_database,
       count(*) FILTER (WHERE state = 'active') AS active,
       count(*) FILTER (WHERE state = 'idle') AS idle,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_locks,
       extract(epoch FROM max(clock_timestamp() - xact_start)) AS oldest_transaction_s
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_APPLICATIONS = """
SELECT application_name AS application, count(*) AS count FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 2 DESC LIMIT 10
"""
_PULSE = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)) FILTER (
         WHERE wait_event_type = 'Lock' AND datname = current_database()), 0) AS lock_wait_s,
       count(*) FILTER (WHERE wait_event_type = 'Lock' AND datname = current_database()) AS lock_waiting,
       coalesce(max(extract(epoch FROM clock_timestamp() - state_change)) FILTER (
         WHERE state LIKE 'idle in transaction%' AND datname = current_database()), 0) AS idle_in_transaction_s,
       round(100.0 * count(*) / greatest(1, current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int), 1) AS connections_used_pct
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def slow_queries(session: Session, limit: int) -> dict[str, Any]:
    """What took most time on this database since its statistics were reset, from ``pg_stat_statements``."""
    installed = session.rows(
        "SELECT n.nspname AS schema, e.extversion AS version FROM pg_extension e "
        "JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    )
    if not installed:
        text = "the extension pg_stat_statements is not in this database: CREATE EXTENSION pg_stat_statements"
        raise ServerError("extension_missing", text)
    # Before version 1.8 there was one time for planning and execution.
    old = tuple(int(part) for part in installed[0]["version"].split(".")[:2]) < (1, 8)
    schema = '"' + installed[0]["schema"].replace('"', '""') + '"'
    rows = session.rows(_STATEMENTS.format(e="" if old else "exec_", schema=schema, limit=limit))
    return {"queries": [_fold(row) for row in rows]}


def index_usage(session: Session, limit: int) -> dict[str, Any]:
    """Tables by rows read without an index."""
    return {"tables": session.rows(_INDEX_USE.format(limit=limit))}


def unused_indexes(session: Session, limit: int) -> dict[str, Any]:
    """Indexes without a scan."""
    return {"indexes": session.rows(_UNUSED.format(limit=limit))}


def table_sizes(session: Session, limit: int) -> dict[str, Any]:
    """The largest tables."""
    return {"tables": session.rows(_SIZES.format(limit=limit))}


def cache_hit(session: Session) -> dict[str, Any]:
    """Share of block reads that the server's own cache answered."""
    return session.rows(_CACHE)[0]


def locks(session: Session, limit: int = 50) -> dict[str, Any]:
    """Who waits for a lock, and for whom."""
    waiting = [_fold(row) for row in session.rows(_WAITING.format(activity=_ACTIVITY, limit=limit))]
    pids = {pid for row in waiting for pid in row["blocked_by"] or ()}
    blockers = (
        session.rows(_BLOCKERS.format(activity=_ACTIVITY, pids=", ".join(map(str, sorted(pids))))) if pids else []
    )
    known = {row["pid"]: _fold(row) for row in blockers}
    for row in waiting:
        row["blocked_by"] = [known.get(pid, {"pid": pid}) for pid in row["blocked_by"] or ()]
    return {"waiting": waiting, "held": session.rows(_HELD)}


def long_running(session: Session, limit: int) -> dict[str, Any]:
    """Statements and transactions of more than one second."""
    return {"transactions": [_fold(row) for row in session.rows(_LONG.format(activity=_ACTIVITY, limit=limit))]}


def bloat(session: Session, limit: int) -> dict[str, Any]:
    """Space that dead rows and half-empty index pages take, estimated from the server's statistics."""
    return {
        "tables": session.rows(_TABLE_BLOAT.format(limit=limit)),
        "indexes": session.rows(_INDEX_BLOAT.format(limit=limit)),
    }


def connections(session: Session) -> dict[str, Any]:
    """Connections by state, against the server's limit."""
    found = session.rows(_CONNECTIONS)[0]
    usable = found["max_connections"] - found["reserved"]
    return {
        **found,
        "used_pct": round(100 * found["total"] / max(1, usable), 1),
        "by_application": session.rows(_APPLICATIONS),
    }


def pulse(session: Session) -> dict[str, float]:
    """What the sensors read: lock waits, transactions left open, connections used."""
    return {name: float(value) for name, value in session.rows(_PULSE)[0].items()}


def _fold(row: Row) -> Row:
    query = row.get("query")
    if isinstance(query, str) and query != _HIDDEN:
        row["query"] = _prints.of(query)
    return row
