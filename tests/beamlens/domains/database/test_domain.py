from __future__ import annotations

import gc
import threading

import pytest
from sqlalchemy import create_engine, exc, text
from sqlalchemy.pool import QueuePool

from beamlens.detect import SensorState
from beamlens.domains import DatabaseDomain
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_supervision import Supervisor


def sensor(name):
    return SensorState(name, "metric", name, "warning", "reason", 0.0, 1.0)


@pytest.fixture
def engine(tmp_path):
    made = create_engine(
        f"sqlite:///{tmp_path / 'x.db'}", poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=0.1
    )
    yield made
    made.dispose()


@pytest.fixture
def domain(engine):
    made = DatabaseDomain(engine)
    supervisor = Supervisor.start(made.children())
    yield made
    supervisor.stop()
    made.close()
    assert not made.recorder.listening()


def test_it_keeps_its_contract(domain, engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        check_domain(domain)


def test_it_keeps_its_contract_when_nothing_runs_and_when_the_engine_is_gone(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    domain = DatabaseDomain(engine, name="orders_db")
    check_domain(domain)
    assert "no QueryStore runs" in domain.snapshot()["_unavailable"]["query_count_1m"]
    supervisor = Supervisor.start(domain.children())
    engine.dispose()
    del engine
    gc.collect()
    check_domain(domain)
    snapshot = domain.snapshot()
    assert snapshot["instrumentation"] == "not active"
    assert snapshot["_unavailable"]["pool_size"] == "the engine is gone"
    supervisor.stop()
    domain.close()


def test_the_snapshot_says_that_it_listens_and_what_it_heard(domain, engine):
    with engine.connect() as conn:
        for number in range(3):
            conn.execute(text("SELECT :number"), {"number": number})
        with pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT nothing"))
        snapshot = domain.snapshot()
    assert snapshot["instrumentation"] == "active, 4 statements seen"
    assert (snapshot["query_count_1m"], snapshot["error_count"], snapshot["slow_query_count"]) == (4, 1, 0)
    assert (snapshot["pool_size"], snapshot["pool_checked_out"], snapshot["pool_limit"]) == (2, 1, 2)
    assert snapshot["max_query_time_ms"] >= snapshot["p95_query_time_ms"] >= 0
    assert snapshot["lock_wait_s"] is None
    assert "not available for this database (sqlite)" in snapshot["_unavailable"]["lock_wait_s"]


def test_two_databases_have_callbacks_and_stores_of_their_own(domain, tmp_path):
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    second = DatabaseDomain(other, name="orders_db")
    assert "orders_db_slow_queries" in second.callbacks()
    assert "database_slow_queries" in domain.callbacks()
    assert "Database orders_db" in second.title
    assert second.children()[0].id == second.children()[0].id != domain.children()[0].id
    other.dispose()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"engine": None}, "must be what create_engine() or create_async_engine() returned, not None"),
        ({"engine": "sqlite://"}, "not str"),
        ({"name": "Orders DB"}, "lower-case identifier"),
        ({"poll": 0}, "above 0"),
    ],
)
def test_bad_arguments_are_named(engine, arguments, words):
    with pytest.raises(TypeError) as caught:
        DatabaseDomain(**{"engine": engine, **arguments})
    assert words in str(caught.value)


def test_slow_statements_come_newest_first_with_their_line_and_no_parameters(domain, engine):
    with engine.connect() as conn:
        conn.connection.create_function("nap", 1, lambda seconds: threading.Event().wait(seconds))
        conn.execute(text("SELECT nap(0.1), 'hunter2'")).all()
        conn.execute(text("SELECT nap(:seconds) AS second"), {"seconds": 0.1}).all()
    found = domain.slow_queries(5)
    assert found["threshold_ms"] == 100.0
    assert [row["statement"] for row in found["queries"]] == ["SELECT nap(?) AS second", "SELECT nap(?), ?"]
    newest = found["queries"][0]
    assert newest["at"].startswith(f"{__file__}:")
    assert newest["total_time_ms"] == pytest.approx(newest["query_time_ms"] + newest["queue_time_ms"], abs=0.02)
    assert newest["result"] == "ok"
    assert "hunter2" not in str([found, domain.excerpt(), domain.query_stats(), domain.statements()])


def test_statements_are_sorted_as_asked_and_a_wrong_key_is_answered_with_the_choices(domain, engine):
    with engine.connect() as conn:
        for _ in range(3):
            conn.execute(text("SELECT 1"))
        conn.execute(text("SELECT 2 AS two"))
    assert [row["count"] for row in domain.statements(5, "count")] == [3, 1]
    answer = domain.statements(5, "beauty")
    assert answer["error"] == "bad_argument"
    assert "total_ms, mean_ms, max_ms, count, errors" in answer["message"]


@pytest.mark.parametrize(
    "name",
    ["db_slow_queries", "index_usage", "unused_indexes", "table_sizes", "cache_hit", "locks", "long_running", "bloat"]
    + ["connections"],
)
def test_what_only_postgresql_knows_is_not_available_elsewhere(domain, name):
    answer = domain.callbacks()[f"database_{name}"]()
    assert answer["error"] == "not_available_for_this_database"
    assert "sqlite" in answer["message"]


def load_lines(engine):
    with engine.connect() as conn:
        for number in range(40):
            conn.execute(text("SELECT :number"), {"number": number})


def test_a_statement_repeated_in_a_loop_is_named_with_its_line(domain, engine):
    load_lines(engine)
    (row,) = domain.repeated()
    assert (row["statement"], row["statements"], row["runs"], row["most"]) == ("SELECT ?", 40, 1, 40)
    (piece,) = domain.evidence(sensor("repeated_statements"))
    assert (piece.cause, piece.strength) == ("repeated_queries", Strength.CONCLUSIVE)
    assert (piece.place.file, piece.place.function) == (__file__, "load_lines")
    assert "40 times" in piece.text


def take(engine, kept):
    kept.append(engine.connect())


def test_connections_that_are_kept_while_others_wait_are_named_with_the_line_that_took_them(domain, engine):
    kept = []
    take(engine, kept)
    take(engine, kept)
    with pytest.raises(exc.TimeoutError):
        engine.connect()
    assert domain.sense()["pool_wait_ms"] >= 100
    stats = domain.pool_stats()
    assert stats["refused"] == {"TimeoutError": 1}
    assert (stats["high_contention_count"], stats["checkouts"]) == (1, 3)
    (piece,) = domain.evidence(sensor("pool_wait_ms_threshold"))
    assert (piece.cause, piece.strength, piece.place.function) == ("connection_leak", Strength.CONCLUSIVE, "take")
    assert "2 of 2 connections" in piece.text
    assert [row["taken_at"].rpartition(" ")[2] for row in domain.holders()["holders"]] == ["take", "take"]
    for conn in kept:
        conn.close()
    assert domain.evidence(sensor("pool_wait_ms_threshold")) == []
    assert domain.holders()["holders"] == []


def break_it(engine):
    for _ in range(6):
        with engine.connect() as conn, pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT nothing FROM nowhere"))


def test_errors_are_named_with_their_kind_and_line(domain, engine):
    break_it(engine)
    (piece,) = domain.evidence(sensor("database_errors"))
    assert (piece.cause, piece.strength, piece.place.function) == ("error_burst", Strength.CONCLUSIVE, "break_it")
    assert "6 of 6 errors" in piece.text
    assert domain.query_stats()["errors_by_kind"] == {"OperationalError": 6}


def test_a_database_that_cannot_be_reached_is_named(tmp_path):
    engine = create_engine(f"postgresql+psycopg://x@/x?host={tmp_path}")
    domain = DatabaseDomain(engine)
    supervisor = Supervisor.start(domain.children())
    for _ in range(3):
        with pytest.raises(exc.OperationalError):
            engine.connect()
    assert domain.sense()["errors_per_s"] == 1.5
    (piece,) = domain.evidence(sensor("database_errors"))
    assert (piece.cause, piece.strength) == ("failing_dependency", Strength.CONCLUSIVE)
    assert "3 connections to the database could not be made" in piece.text
    assert domain.snapshot()["pool_refused_1m"] == 3
    supervisor.stop()
    domain.close()
    engine.dispose()


def test_rows_that_are_there_already_are_errors_but_no_fault(domain, engine):
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE item (id INTEGER PRIMARY KEY)"))
        conn.execute(text("INSERT INTO item VALUES (1)"))
        with pytest.raises(exc.IntegrityError):
            conn.execute(text("INSERT INTO item VALUES (1)"))
    totals = domain.recorder.settle().totals()
    assert (totals.errors, totals.faults) == (1, 0)


def test_an_engine_with_other_options_is_the_same_database(domain, engine):
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
        conn.execute(text("SELECT 1"))
    assert domain.snapshot()["query_count_1m"] == 1


def nap(conn):
    conn.execute(text("SELECT nap()")).all()


def test_the_statement_that_takes_longer_than_it_did_is_named(domain, engine):
    nap_s = [0.0]
    with engine.connect() as conn:
        conn.connection.create_function("nap", 0, lambda: threading.Event().wait(nap_s[0]))
        for _ in range(60):
            nap(conn)
            conn.execute(text("SELECT 1")).all()
        nap_s[0] = 0.06
        for _ in range(20):
            nap(conn)
    totals = domain.recorder.settle().totals()
    assert (totals.slower, totals.known) == (20, 20 + 10 + 10)
    (piece,) = domain.evidence(sensor("latency_shift"))
    assert (piece.cause, piece.strength, piece.place.function) == ("slow_query", Strength.CONCLUSIVE, "nap")
    assert "SELECT nap()" in piece.text
    assert piece.data["usual_ms"] < 10 < piece.data["mean_ms"]


def test_a_transaction_of_ours_that_is_left_open_is_named(domain, engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        (piece,) = domain.evidence(sensor("idle_transaction_s_threshold"))
        assert piece.cause == "idle_transaction"
        assert piece.place.function == "test_a_transaction_of_ours_that_is_left_open_is_named"
        conn.rollback()
        assert domain.evidence(sensor("idle_transaction_s_threshold")) == []


def test_evidence_of_an_unknown_sensor_is_none(domain):
    assert domain.evidence(sensor("nonsense")) == ()
    assert domain.evidence(None) == ()


def test_quick_statements_one_after_the_other_look_like_no_trouble(domain, engine):
    for _ in range(100):
        with engine.begin() as conn:
            conn.execute(text("SELECT 1"))
    sensed = domain.sense()
    assert sensed["repeated_pct"] == 0.0
    assert sensed["errors_per_s"] == 0.0
    assert sensed["idle_transaction_s"] == 0.0
    assert sensed["pool_wait_ms"] < 1000
