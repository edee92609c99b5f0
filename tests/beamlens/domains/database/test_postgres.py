"""The server's side, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from beamlens.detect import SensorState
from beamlens.domains import DatabaseDomain
from beamlens.domains.database.server import PostgresServer, ServerError
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_supervision import Supervisor

LOCKS = SensorState("lock_wait_s_threshold", "lock_wait_s", "lock_wait_s_high", "warning", "reason", 0.0, 9.0)


@pytest.fixture
def engine(postgres):
    made = create_engine(postgres.url(), pool_size=5, max_overflow=0, pool_timeout=0.1)
    with made.begin() as conn:
        conn.execute(text("CREATE TABLE item (id INT PRIMARY KEY, name TEXT, number INT)"))
        conn.execute(text("CREATE INDEX item_number ON item (number)"))
        conn.execute(text("INSERT INTO item SELECT g, 'x', g FROM generate_series(1, 5000) g"))
    with made.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE item"))
    yield made
    with made.begin() as conn:
        conn.execute(text("DROP TABLE item"))
        conn.execute(text("SELECT pg_stat_statements_reset()"))
    made.dispose()


@pytest.fixture
def domain(engine):
    made = DatabaseDomain(engine, poll=0.05)
    supervisor = Supervisor.start(made.children())
    yield made
    supervisor.stop()
    made.close()
    # A question under way holds its place until it is answered.
    assert made._server._asking.acquire(timeout=10)


def ask(domain, name, *arguments):
    """A callback's answer; the poll of the sensors may be asking just now."""
    for _ in range(100):
        answer = domain.callbacks()[f"database_{name}"](*arguments)
        if not (isinstance(answer, dict) and answer.get("error") == "busy"):
            return answer
        threading.Event().wait(0.02)
    return answer


def test_it_keeps_its_contract(domain):
    check_domain(domain)


def test_tables_indexes_and_caches_are_told(domain, engine):
    (table,) = [row for row in ask(domain, "table_sizes", 50)["tables"] if row["table"] == "item"]
    assert table["rows_estimate"] == 5000
    assert table["total_mb"] >= table["table_mb"] > 0
    unused = ask(domain, "unused_indexes")["indexes"]
    assert [row["index"] for row in unused] == ["item_number"]  # not the primary key's
    assert {row["table"] for row in ask(domain, "index_usage")["tables"]} == {"item"}
    assert 0 <= ask(domain, "cache_hit")["database_hit_pct"] <= 100
    assert set(ask(domain, "bloat")) == {"tables", "indexes"}
    connections = ask(domain, "connections")
    assert connections["max_connections"] == 40
    assert 0 < connections["used_pct"] < 50


def test_statements_of_the_server_come_without_literals(domain, engine):
    with engine.begin() as conn:
        conn.execute(text("SELECT name, 'hunter2' FROM item WHERE id = 17"))
        conn.execute(text("DO $$ BEGIN PERFORM 'hunter2'; END $$"))
    found = ask(domain, "db_slow_queries", 50)["queries"]
    assert "hunter2" not in str(found)
    (row,) = [row for row in found if row["query"].startswith("SELECT name")]
    assert (row["query"], row["calls"]) == ("SELECT name, ? FROM item WHERE id = ?", 1)


def test_a_missing_extension_is_said(domain, engine):
    with engine.begin() as conn:
        conn.execute(text("DROP EXTENSION pg_stat_statements"))
    answer = ask(domain, "db_slow_queries")
    with engine.begin() as conn:
        conn.execute(text("CREATE EXTENSION pg_stat_statements"))
    assert answer["error"] == "extension_missing"
    assert "CREATE EXTENSION pg_stat_statements" in answer["message"]


def test_a_role_that_may_not_read_is_told_so(engine, postgres):
    with engine.begin() as conn:
        conn.execute(text("CREATE ROLE guest LOGIN"))
        conn.execute(text("REVOKE SELECT ON pg_stat_statements FROM PUBLIC"))
    guest = create_engine(postgres.url("guest"))
    answer = DatabaseDomain(guest).callbacks()["database_db_slow_queries"]()
    guest.dispose()
    with engine.begin() as conn:
        conn.execute(text("GRANT SELECT ON pg_stat_statements TO PUBLIC"))
        conn.execute(text("DROP ROLE guest"))
    assert answer["error"] == "permission"
    assert "permission denied for view pg_stat_statements" in answer["message"]


def test_a_server_that_is_not_there_is_an_answer(tmp_path):
    engine = create_engine(f"postgresql+psycopg://x@/x?host={tmp_path}")
    answer = DatabaseDomain(engine).callbacks()["database_locks"]()
    assert answer["error"] == "connection"


def test_the_server_is_asked_when_the_pool_is_exhausted_and_without_using_it(domain, engine):
    kept = [engine.connect() for _ in range(5)]
    before = domain.recorder.statements_seen()
    assert ask(domain, "connections")["max_connections"] == 40
    assert engine.pool.checkedout() == 5
    assert domain.recorder.statements_seen() == before
    for conn in kept:
        conn.close()


@pytest.mark.parametrize("autocommit", [False, True])
def test_what_is_asked_cannot_write_and_ends(postgres, autocommit):
    import psycopg

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            host=str(postgres._folder), user="tester", dbname="postgres", autocommit=autocommit
        ),
    )
    server = PostgresServer(engine)
    with pytest.raises(ServerError) as caught:
        server.ask(lambda session: session.rows("CREATE TABLE bad (id INT)"))
    assert "read-only" in str(caught.value)
    with pytest.raises(ServerError) as caught:
        server.ask(lambda session: session.rows("SELECT pg_sleep(60)"))
    assert caught.value.code == "timeout"
    engine.dispose()


def test_one_question_at_a_time(engine):
    server = PostgresServer(engine)
    begun, go_on = threading.Event(), threading.Event()

    def slow(_session):
        begun.set()
        go_on.wait(10)
        return "done"

    answers = []
    server.start(slow, answers.append)
    begun.wait(10)
    with pytest.raises(ServerError) as caught:
        server.ask(lambda session: session.rows("SELECT 1"))
    assert caught.value.code == "busy"
    with pytest.raises(ServerError) as caught:
        server.start(slow, answers.append)
    go_on.set()
    assert server._asking.acquire(timeout=10)
    server._asking.release()
    assert server.ask(lambda session: session.rows("SELECT 1 AS one")) == [{"one": 1}]
    assert answers == ["done"]


def hold(engine, held, release):
    with engine.begin() as conn:
        conn.execute(text("UPDATE item SET number = 0 WHERE id = 1"))
        conn.execute(text("SELECT 1"))
        held.set()
        release.wait(20)


def wait_for_it(engine):
    with engine.begin() as conn:
        conn.execute(text("UPDATE item SET number = 1 WHERE id = 1"))


@pytest.fixture
def blocked(engine):
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(engine, held, release), name="holder")
    holder.start()
    held.wait(10)
    waiter = threading.Thread(target=wait_for_it, args=(engine,), name="waiter")
    waiter.start()
    yield
    release.set()
    holder.join()
    waiter.join()


def test_a_lock_wait_names_the_blocker_and_its_line(domain, engine, blocked):
    for _ in range(200):
        found = ask(domain, "locks")
        if found["waiting"]:
            break
    (row,) = found["waiting"]
    assert row["query"] == "UPDATE item SET number = ? WHERE id = ?"
    assert row["ours"]["thread"] == "waiter"
    (blocker,) = row["blocked_by"]
    assert (blocker["state"], blocker["query"]) == ("idle in transaction", "SELECT ?")
    assert blocker["ours"]["thread"] == "holder"
    assert " hold" in blocker["ours"]["taken_at"]
    pieces = []
    while not pieces:
        pieces = domain.evidence(LOCKS)
    (piece,) = pieces
    assert (piece.cause, piece.strength) == ("lock_wait", Strength.CONCLUSIVE)
    assert (piece.place.file, piece.place.function) == (__file__, "hold")
    assert piece.place.line == hold.__code__.co_firstlineno + 2  # the update, not what came after it
    (long,) = [r for r in ask(domain, "long_running")["transactions"] if r["state"] == "active"] or [row]
    assert long["pid"] == row["pid"]


def test_the_poll_sees_the_lock_wait_and_a_blocker_elsewhere_is_named_by_its_application(domain, engine, postgres):
    other = create_engine(postgres.url(), connect_args={"application_name": "nightly-report"})
    with other.begin() as conn:
        conn.execute(text("UPDATE item SET number = 0 WHERE id = 1"))
        waiter = threading.Thread(target=wait_for_it, args=(engine,))
        waiter.start()
        for _ in range(400):
            if (domain.sense()["lock_wait_s"] or 0) > 0:
                break
            threading.Event().wait(0.05)
        assert domain.sense()["lock_wait_s"] > 0
        pieces = []
        while not pieces:
            pieces = domain.evidence(LOCKS)
    waiter.join()
    other.dispose()
    assert "of nightly-report, not a connection of this engine" in pieces[0].text
    assert pieces[0].place is None


def test_an_asyncio_engine_is_watched_with_the_lines_of_its_coroutines(postgres):
    engine = create_async_engine(postgres.url(driver="psycopg_async"), pool_size=2, max_overflow=0)
    domain = DatabaseDomain(engine)
    assert type(engine.sync_engine.pool) is not QueuePool
    supervisor = Supervisor.start(domain.children())

    async def load(number):
        async with engine.connect() as conn:
            for _ in range(12):
                await conn.execute(text("SELECT CAST(:number AS INT)"), {"number": number})
            return domain.recorder.holders()

    async def both():
        held = await asyncio.gather(load(1), load(2), load(3))
        await engine.dispose()
        return held

    held = asyncio.run(both())
    assert {lease.site.function.rpartition(".")[2] for leases in held for lease in leases} == {"load"}
    (row,) = domain.repeated()
    assert (row["statements"], row["runs"]) == (36, 3)
    assert row["at"].startswith(f"{__file__}:")
    assert row["at"].endswith("load")
    assert ask(domain, "connections")["max_connections"] == 40
    assert domain.recorder.holders() == []
    supervisor.stop()
    domain.close()
