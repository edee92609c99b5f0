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
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.database.server import PostgresServer, ServerError
from beamlens.domains.database.statements import taken
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor
from tests.support.hanging import HangingProxy

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
    if made._server._question is not None:
        assert made._server._question.over.wait(10)


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
    assert server._question.over.wait(10)
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


@pytest.fixture
def proxy(postgres):
    made = HangingProxy(postgres._folder / ".s.PGSQL.5432")
    yield made
    made.close()


def one(session):
    return session.rows("SELECT 1 AS one")


def test_a_server_that_hangs_costs_one_error_in_time_and_is_asked_again_when_it_is_back(postgres, proxy):
    engine = create_engine(f"postgresql+psycopg://tester@/postgres?host={proxy.folder}")
    server = PostgresServer(engine)
    assert server.ask(one) == [{"one": 1}]

    def hang(session):
        proxy.hang()
        return session.rows("SELECT 1 AS one")

    with pytest.raises(ServerError) as caught:
        server.ask(hang, deadline=0.3)
    assert (caught.value.code, str(caught.value)) == ("timeout", "the server did not answer within 0.3 s")
    assert server._question.over.wait(10)  # its connection was cut, so that its thread ended
    proxy.recover()
    assert server.ask(one) == [{"one": 1}]
    engine.dispose()


def test_a_server_that_accepts_and_says_nothing_is_given_up_after_a_minute_thrice_at_most(postgres, proxy):
    engine = create_engine(f"postgresql+psycopg://tester@/postgres?host={proxy.folder}")
    server = PostgresServer(engine)
    answers, questions = [], []
    proxy.hang()
    with FakeClock() as clock:
        for _ in range(4):
            questions.append(server.start(one, answers.append))
            clock.advance(59)
            with pytest.raises(ServerError) as caught:
                server.start(one, answers.append)
            assert caught.value.code == "busy"
            clock.advance(2)
        with pytest.raises(ServerError) as caught:
            server.start(one, answers.append)
        assert caught.value.code == "busy"
        assert answers == []
        proxy.recover()
        for question in questions:
            assert question.over.wait(10)
    assert server.ask(one) == [{"one": 1}]
    assert len(answers) == 4
    engine.dispose()


def test_the_last_connection_of_an_exhausted_pool_is_left_to_the_host(domain, engine):
    kept = [engine.connect() for _ in range(4)]
    checkouts = len(domain.recorder.checkouts)
    for name in ("connections", "locks", "long_running", "cache_hit"):
        assert "error" not in ask(domain, name)
    assert engine.pool.checkedout() == 4
    assert len(domain.recorder.checkouts) == checkouts
    for conn in kept:
        conn.close()


def test_a_domain_that_is_closed_leaves_no_question_behind(engine):
    domain = DatabaseDomain(engine)
    begun, answers = threading.Event(), []

    def sleep(session):
        begun.set()
        return session.rows("SELECT pg_sleep(2.5)")

    question = domain._server.start(sleep, answers.append)
    assert begun.wait(10)
    domain.close()
    assert question.over.wait(2)
    assert isinstance(answers[0], ServerError)


def test_an_asyncio_statement_that_is_cancelled_is_no_error_and_leaves_nothing_behind(postgres):
    engine = create_async_engine(postgres.url(driver="psycopg_async"), pool_size=1, max_overflow=0)
    recorder = QueryRecorder(engine.sync_engine)
    recorder.install()

    async def sleep():
        async with engine.connect() as conn:
            await conn.execute(text("SELECT pg_sleep(20)"))

    async def cancel():
        task = asyncio.create_task(sleep())
        while not any(lease.running for lease in recorder.holders()):  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        (lease,) = recorder.holders()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lease.running is None
        async with engine.connect() as conn:
            await conn.execute(text("SELECT 1"))
        await engine.dispose()

    asyncio.run(cancel())
    assert recorder.holders() == []
    assert recorder.asking == {}
    totals = recorder.settle().totals()
    assert (totals.errors, totals.count) == (0, 1)
    recorder.uninstall()
    assert taken(recorder.failures) == 0
    for name in ("before_cursor_execute", "after_cursor_execute", "begin", "engine_disposed"):
        assert list(getattr(engine.sync_engine.dispatch, name)) == []
    assert not engine.sync_engine._has_events


def test_what_sqlalchemy_asks_a_new_server_is_not_the_hosts(postgres):
    engine = create_engine(postgres.url(), poolclass=QueuePool)
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        (lease,) = recorder.holders()
        assert (lease.opened is not None, list(recorder._leases.open)) == (True, [lease.number])
    assert [one.fingerprint for one in recorder.settle().recent()] == ["SELECT ?"]
    assert taken(recorder.failures) == 0
    recorder.uninstall()
    engine.dispose()
