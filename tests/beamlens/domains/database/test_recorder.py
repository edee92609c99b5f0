from __future__ import annotations

import gc
import os
import sqlite3
import threading
import weakref
from types import CodeType, FunctionType, MethodType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, event, exc, insert, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from beamlens.domains.database import leases, statements
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.probes import request_context
from beamlens.probes.call_site import CallSites
from beamlens.probes.request_context import InboundRequest


@pytest.fixture
def engine(tmp_path):
    made = create_engine(
        f"sqlite:///{tmp_path / 'x.db'}", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05
    )
    with made.begin() as conn:
        conn.execute(text("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)"))
    yield made
    made.dispose()


@pytest.fixture
def recorder(engine):
    made = QueryRecorder(engine)
    made.install()
    yield made
    made.uninstall()
    assert int(repr(made.failures)[6:-1]) == 0


EXECUTE = ("do_execute", "do_executemany", "do_execute_no_params")


def hooks(engine):
    """What is ours, on engine and pool, and how many hear each of the dialect's functions."""
    found = [*engine.pool.dispatch.checkin, *engine.pool.dispatch.detach]
    listeners = [one for one in found if one.__module__.startswith("beamlens.domains.database")]
    tap = vars(engine.dialect).get("_beamlens_tap")
    tapped = sorted(name for name in vars(engine.dialect) if name in EXECUTE)
    return len(listeners), tapped, len(tap.wraps) if tap else 0


NOTHING = (0, [], 0)


def test_a_statement_is_kept_without_its_parameters_and_with_its_line(engine, recorder):
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO item (name) VALUES (:name)"), [{"name": "hunter2"}, {"name": "x"}])
        conn.execute(text("SELECT * FROM item WHERE name = 'hunter2'")).all()
    first, second = recorder.settle().recent()
    assert first.fingerprint == "INSERT INTO item (name) VALUES (?)"
    assert (first.rows, first.error) == (2, "")
    assert second.fingerprint == "SELECT * FROM item WHERE name = ?"
    assert (second.site.file, second.site.function) == (
        __file__,
        "test_a_statement_is_kept_without_its_parameters_and_with_its_line",
    )
    assert second.site.line == first.site.line + 1
    assert "hunter2" not in repr(vars(recorder)) + repr(recorder.ledger.recent())


def test_errors_are_counted_by_kind_and_the_host_gets_its_own(engine, recorder):
    with engine.connect() as conn:
        with pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT * FROM nowhere"))
        conn.execute(text("INSERT INTO item (id) VALUES (1)"))
        with pytest.raises(exc.IntegrityError):
            conn.execute(text("INSERT INTO item (id) VALUES (1)"))
        conn.rollback()
    ledger = recorder.settle()
    assert [one.error for one in ledger.errors()] == ["IntegrityError", "OperationalError"]
    assert (ledger.totals().count, ledger.totals().errors) == (3, 2)


def test_a_listener_of_ours_that_fails_is_counted_and_the_statement_runs(engine, monkeypatch):
    def broken(_sites, _frame):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(CallSites, "find", broken)
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        assert conn.execute(text("SELECT 7")).scalar() == 7
    assert int(repr(recorder.failures)[6:-1]) == 2  # the checkout and the statement
    recorder.uninstall()


def test_everything_is_taken_out_again(engine):
    before, of_dialect = set(vars(engine)), set(vars(engine.dialect))
    recorder, other = QueryRecorder(engine), QueryRecorder(engine)
    with engine.connect() as early:
        recorder.install()
        recorder.install()
        other.install()
        early.execute(text("SELECT 1"))
        with pytest.raises(exc.TimeoutError):
            engine.connect()
        assert hooks(engine) == (2 * 2, sorted(EXECUTE), 2)
        recorder.uninstall()
        early.execute(text("SELECT 2"))
        assert hooks(engine) == (2, sorted(EXECUTE), 1)
        assert other.statements_seen() == 2
        assert recorder.statements_seen() == 1
        other.uninstall()
        assert hooks(engine) == NOTHING
        assert "connect" not in vars(engine.pool)
        assert set(vars(engine)) == before
        assert not engine._has_events
        assert not engine.dialect._has_events
        assert set(vars(engine.dialect)) - of_dialect <= {"_type_memos"}  # SQLAlchemy's own
        assert not {"connect", "recreate"} & set(vars(engine.pool))
        assert not [name for name in vars(early) if "beamlens" in name]
        assert not [name for name in early.connection.record_info if "beamlens" in name]


def test_the_hosts_own_listeners_stay(engine):
    heard = []
    event.listen(engine, "after_cursor_execute", lambda *_arguments: heard.append(1))
    recorder = QueryRecorder(engine)
    recorder.install()
    recorder.uninstall()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
    assert heard == [1]


def test_a_disposed_engine_is_still_listened_to_and_can_still_be_left(engine):
    recorder = QueryRecorder(engine)
    recorder.install()
    old = engine.pool
    engine.dispose()
    assert engine.pool is not old
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        assert len(recorder.holders()) == 1
    assert recorder.holders() == []
    assert recorder.listening()
    recorder.uninstall()
    assert hooks(engine) == NOTHING
    assert "connect" not in vars(engine.pool)


def test_an_engine_is_not_kept_alive():
    engine = create_engine("sqlite://")
    gone = weakref.ref(engine)
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
    engine.dispose()
    del engine, conn
    gc.collect()
    assert gone() is None
    assert recorder.engine is None
    assert not recorder.listening()
    recorder.uninstall()


def test_who_wrapped_the_pool_after_us_keeps_working(engine):
    recorder = QueryRecorder(engine)
    recorder.install()
    ours = engine.pool.connect
    calls = []

    def theirs():
        calls.append(1)
        return ours()

    engine.pool.connect = theirs
    assert not recorder.listening()
    recorder.uninstall()
    with engine.connect() as conn:
        assert conn.execute(text("SELECT 7")).scalar() == 7
    assert calls == [1]


def test_a_pools_own_way_to_make_the_next_one_is_used_and_stays(engine):
    made = []

    def theirs():
        made.append(type(pool).recreate(pool))
        return made[-1]

    pool = engine.pool
    pool.recreate = theirs
    recorder = QueryRecorder(engine)
    recorder.install()
    engine.dispose()
    assert [engine.pool] == made
    assert recorder.listening()
    recorder.uninstall()
    assert not {"connect", "recreate"} & set(vars(engine.pool))

    pool = engine.pool
    recorder.install()
    pool.recreate = theirs
    recorder.uninstall()
    assert pool.recreate is theirs
    assert "connect" not in vars(pool)


def test_who_has_left_records_nothing_under_somebodys_wrapper(engine):
    recorder = QueryRecorder(engine)
    recorder.install()
    ours = engine.pool.connect
    engine.pool.connect = lambda: ours()
    recorder.uninstall()
    engine.dispose()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        assert recorder.holders() == []
    assert (len(recorder.checkouts), recorder.statements_seen()) == (0, 0)
    recorder.install()
    recorder.uninstall()
    assert "connect" not in vars(engine.pool)


def test_who_holds_a_connection_is_known_by_its_line_until_it_is_given_back(engine, recorder):
    conn = engine.connect()
    (lease,) = recorder.holders()
    assert (lease.site.file, lease.site.function) == (
        __file__,
        "test_who_holds_a_connection_is_known_by_its_line_until_it_is_given_back",
    )
    assert lease.opened is None
    conn.execute(text("SELECT 1"))
    assert lease.opened is not None
    conn.commit()
    assert lease.opened is None
    conn.close()
    assert recorder.holders() == []


def test_a_connection_that_its_holder_forgot_is_not_held(engine, recorder):
    connection = engine.raw_connection()
    assert len(recorder.holders()) == 1
    del connection
    gc.collect()
    assert recorder.holders() == []


def test_a_connection_that_was_detached_or_invalidated_is_not_the_pools(engine, recorder):
    with engine.connect() as conn:
        conn.detach()
        conn.execute(text("SELECT 1"))
        assert recorder.holders() == []
    with engine.connect() as conn:
        conn.invalidate()
        assert recorder.holders() == []
        conn.rollback()
        conn.execute(text("SELECT 1"))
        assert len(recorder.holders()) == 1
    assert recorder.statements_seen() == 2


def test_a_checkout_that_is_refused_is_kept_with_its_wait_and_its_line(engine, recorder):
    with engine.connect(), pytest.raises(exc.TimeoutError):
        engine.connect()
    first, second = recorder.checkouts
    assert (first.error, first.queued >= 0) == ("", True)
    assert second.error == "TimeoutError"
    assert second.queued >= 0.05
    assert second.site.file == __file__
    assert recorder.asking == {}


def test_who_waits_for_a_connection_is_seen_while_it_waits(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'y.db'}", poolclass=QueuePool, pool_size=1, max_overflow=0)
    recorder = QueryRecorder(engine)
    recorder.install()
    held = engine.connect()

    def ask():
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))

    thread = threading.Thread(target=ask)
    thread.start()
    while not recorder.asking:
        pass
    ((_, site),) = recorder.asking.values()
    assert (site.file, site.function) == (__file__, ask.__qualname__)
    held.close()
    thread.join()
    assert recorder.asking == {}
    statement = recorder.settle().recent()[-1]
    assert statement.queued == recorder.checkouts[-1].queued > 0
    recorder.uninstall()
    engine.dispose()


def test_statements_of_a_request_are_told_to_it_and_belong_together(engine, recorder):
    request = InboundRequest("http", "GET", "/orders/17")
    outer = request_context.enter(request)
    for number in range(12):
        with engine.connect() as conn:
            conn.execute(text("SELECT * FROM item WHERE id = :id"), {"id": number})
    request_context.leave(request, outer)
    (repeat,) = recorder.settle().repeats()
    assert (repeat.statements, dict(repeat.routes)) == (12, {request.route: 1})
    assert request.sql_count == 12
    ((call, (count, _)),) = request.repeats.items()
    assert (call.what, call.place, count) == ("SELECT * FROM item WHERE id = ?", repeat.site.place, 12)


def test_threads_lose_no_statement(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'z.db'}", poolclass=QueuePool, pool_size=8)
    recorder = QueryRecorder(engine)
    recorder.install()

    def work():
        for _ in range(100):
            with engine.connect() as conn:
                conn.execute(text("SELECT 1"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.settle().totals().count == recorder.statements_seen() == 800
    assert recorder.dropped() == 0
    assert len(recorder.checkouts) == 800
    assert recorder.holders() == []
    recorder.uninstall()
    engine.dispose()


def test_what_comes_faster_than_it_is_added_up_is_dropped_and_counted(engine, monkeypatch):
    monkeypatch.setattr(statements, "_MOST_PENDING", 10)
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        for _ in range(15):
            conn.execute(text("SELECT 1"))
    assert recorder.settle().totals().count == 10
    assert recorder.dropped() == 5
    recorder.uninstall()


def test_a_connection_that_commits_by_itself_is_in_no_transaction(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}", poolclass=QueuePool)
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("SELECT 1"))
        assert [lease.opened for lease in recorder.holders()] == [None]
    recorder.uninstall()
    engine.dispose()


def test_the_server_process_is_read_from_what_drivers_hold():
    class Info:
        backend_pid = 17

    class Psycopg:
        info = Info()

    class Asyncpg:
        def get_server_pid(self):
            return 18

    class Fairy:
        def __init__(self, driver):
            self.driver_connection = driver

    assert [leases.server_pid(Fairy(driver)) for driver in (Psycopg(), Asyncpg(), object())] == [17, 18, None]


@pytest.mark.parametrize("name", ["before_cursor_execute", "after_cursor_execute", "commit", "checkin"])
@pytest.mark.parametrize("leaving", [False, True])
def test_a_statement_under_way_survives_that_we_come_or_go(engine, name, leaving):
    recorder = QueryRecorder(engine)
    inside, go_on = threading.Event(), threading.Event()

    def slow_listener_of_the_hosts(*_arguments):
        inside.set()
        go_on.wait(10)

    event.listen(engine, name, slow_listener_of_the_hosts)
    if leaving:
        recorder.install()
    outcome = []

    def work():
        try:
            with engine.begin() as conn:
                outcome.append(conn.execute(text("SELECT 7")).scalar())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    recorder.uninstall() if leaving else recorder.install()
    go_on.set()
    thread.join()
    assert outcome == [7]
    recorder.uninstall()
    event.remove(engine, name, slow_listener_of_the_hosts)
    assert hooks(engine) == NOTHING


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "lose", "detach", "break", "use"]), st.integers(0, 9))))
def test_what_is_held_is_what_was_taken_and_not_given_back(steps):
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=3, max_overflow=20, pool_timeout=0.05)
    recorder = QueryRecorder(engine)
    recorder.install()
    ours, loose = [], []
    for what, number in steps:
        if what == "take":
            ours.append(engine.connect())
        elif ours:
            conn = ours[number % len(ours)]
            if what == "use":
                conn.execute(text("SELECT 1"))
                continue
            ours.remove(conn)
            if what == "give":
                conn.close()
            elif what == "lose":
                del conn
                gc.collect()
            elif what == "break":
                conn.invalidate()
                loose.append(conn)
            else:
                conn.detach()
                loose.append(conn)
        assert len(recorder.holders()) == len(ours)
        assert engine.pool.checkedout() == len(ours)
    for conn in ours + loose:
        conn.close()
    assert recorder.holders() == []
    recorder.uninstall()
    assert int(repr(recorder.failures)[6:-1]) == 0
    engine.dispose()


def test_however_many_watch_an_engine_a_request_is_told_of_a_statement_once(engine, recorder):
    optioned = engine.execution_options(isolation_level="AUTOCOMMIT")
    other = QueryRecorder(optioned)
    other.install()
    request = InboundRequest("http", "GET", "/orders/17")
    outer = request_context.enter(request)
    with optioned.connect() as conn:
        conn.execute(text("SELECT 1"))
        with pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT nothing"))
    other.uninstall()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
    request_context.leave(request, outer)
    assert request.sql_count == 3
    assert (recorder.statements_seen(), other.statements_seen()) == (3, 2)
    told = sorted((call.what, count) for call, (count, _) in request.repeats.items())
    assert told == [("SELECT ?", 1), ("SELECT ?", 1), ("SELECT nothing", 1)]


def insert_in_batches(engine, rows):
    """Three statements: SQLAlchemy sends the rows of an INSERT .. RETURNING in batches."""
    metadata = MetaData()
    item = Table("item", metadata, Column("id", Integer, primary_key=True), Column("name", String))
    with engine.execution_options(insertmanyvalues_page_size=2).begin() as conn:
        conn.execute(insert(item).returning(item.c.id), [{"name": name} for name in rows])


def test_each_batch_of_an_insert_is_a_statement_and_its_request_is_told_of_each(engine, recorder):
    other = QueryRecorder(engine)
    other.install()
    request = InboundRequest("http", "POST", "/items")
    outer = request_context.enter(request)
    insert_in_batches(engine, ["a", "b", "c", "d", "e"])
    request_context.leave(request, outer)
    other.uninstall()
    assert request.sql_count == 3
    assert {one.fingerprint for one in recorder.settle().recent()} == {
        "INSERT INTO item (name) VALUES (?) RETURNING id",
    }
    assert {one.site.function for one in recorder.settle().recent()} == {"insert_in_batches"}


def texts_within(*roots):
    """Every text that can be reached from objects, but through modules, classes and functions."""
    found, seen, left = [], set(), list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, (type, ModuleType, FunctionType, MethodType, CodeType)):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            found.append(one)
        else:
            left += gc.get_referents(one)
    return found


def test_neither_a_parameter_nor_a_literal_is_kept_anywhere(engine, recorder):
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO item (name) VALUES (:name)"), [{"name": "hunter2a"}, {"name": "hunter2b"}])
        conn.execute(text("SELECT 1 WHERE 'hunter2c' = :name -- hunter2d"), {"name": "hunter2e"}).all()
        conn.exec_driver_sql("SELECT ?", ("hunter2f",)).all()
        conn.exec_driver_sql("SELECT '" + "x" * 3000 + "hunter2g" + "x" * 1_000_000 + "hunter2h'").all()
        with pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT nothing FROM item WHERE name = 'hunter2i'"))
        with pytest.raises(exc.StatementError):
            conn.execute(text("SELECT :a, :b"), {"a": "hunter2j"})
    insert_in_batches(engine, ["hunter2l", "hunter2m", "hunter2n"])
    ledger = recorder.settle()
    parts = [ledger, recorder._statements.pending, recorder._leases.open, recorder.checkouts, recorder.held]
    found = texts_within(*(vars(ledger).values()), *parts)
    assert "INSERT INTO item (name) VALUES (?)" in found
    assert [one for one in found if "hunter2" in one] == []
    assert max(map(len, found)) < 5000


def test_a_statement_of_a_megabyte_is_cut(engine, recorder):
    with engine.connect() as conn:
        conn.exec_driver_sql(f"SELECT {' + '.join(['1'] * 900)} /* {'x' * 1_000_000} */").all()
    (one,) = recorder.settle().recent()
    assert len(one.fingerprint) <= 600
    assert one.fingerprint.startswith("SELECT ? + ?")


def test_statements_without_end_are_told_apart_up_to_a_bound_and_all_counted(engine, recorder):
    with engine.connect() as conn:
        for number in range(1200):
            conn.exec_driver_sql(f"SELECT 1 AS column_{number}").all()
    ledger = recorder.settle()
    assert ledger.totals().count == 1200
    assert len(ledger.fingerprints()) <= 500
    assert len(ledger.prints._known) <= 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_not_listened_to_and_the_parent_still_is(engine, recorder):
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
    engine.dispose()
    with recorder.ledger._lock:  # as a thread of the parent may hold it just then
        child = os.fork()
        if child == 0:
            ok = False
            try:
                with engine.connect() as conn:
                    conn.execute(text("SELECT 2"))
                nothing = hooks(engine) == NOTHING and "connect" not in vars(engine.pool)
                ok = nothing and recorder.statements_seen() == 1 and recorder.settle().totals().count == 0
            finally:
                os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert recorder.listening()
    with engine.connect() as conn:
        conn.execute(text("SELECT 3"))
    assert recorder.settle().totals().count == 2


def test_who_is_interrupted_while_it_asks_for_a_connection_waits_no_longer(engine, recorder, monkeypatch):
    def interrupted(_pool):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(QueuePool, "connect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.connect()
    assert recorder.asking == {}
    assert list(recorder.checkouts) == []


def test_an_engine_with_other_options_is_left_as_it_was(engine):
    optioned = engine.execution_options(isolation_level="AUTOCOMMIT")
    before = dict(vars(optioned))
    recorder = QueryRecorder(optioned)
    recorder.install()
    assert recorder.listening()
    recorder.uninstall()
    assert vars(optioned) == before
    with optioned.connect() as conn:
        conn.execute(text("SELECT 1"))
    assert recorder.statements_seen() == 0
    assert hooks(engine) == NOTHING
    assert "connect" not in vars(engine.pool)


def test_a_request_does_not_wait_for_the_fingerprint_of_a_long_text(engine, recorder):
    request = InboundRequest("http", "GET", "/orders/17")
    outer = request_context.enter(request)
    long = f"SELECT {', '.join(f'1 AS column_{number}' for number in range(200))}"
    with engine.connect() as conn:
        conn.exec_driver_sql(long)
        assert request.repeats is None
        recorder.settle()
        conn.exec_driver_sql(long)
    request_context.leave(request, outer)
    assert request.sql_count == 2
    ((call, (count, _)),) = request.repeats.items()
    assert (count, call.what) == (1, recorder.ledger.recent()[0].fingerprint)


class OddCursor(sqlite3.Cursor):
    @property
    def rowcount(self):
        raise RuntimeError("not known")


class OddConnection(sqlite3.Connection):
    def cursor(self, factory=OddCursor):
        return super().cursor(factory)


def test_a_driver_that_cannot_tell_its_rows_ends_its_statement_all_the_same():
    engine = create_engine("sqlite://", connect_args={"factory": OddConnection})
    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        conn.execute(text("SELECT 1")).all()
        assert [lease.running for lease in recorder.holders()] == [None]
    (one,) = recorder.settle().recent()
    assert one.rows == -1
    recorder.uninstall()
    engine.dispose()


def through_core(engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))


def through_scalar(engine):
    with engine.connect() as conn:
        conn.scalar(text("SELECT 1"))


def through_the_driver(engine):
    with engine.connect() as conn:
        conn.exec_driver_sql("SELECT 1")


def through_a_session(engine):
    with Session(engine) as session:
        session.execute(text("SELECT 1"))


@pytest.mark.parametrize("send", [through_core, through_scalar, through_the_driver, through_a_session])
def test_the_line_is_the_same_by_whatever_way_a_statement_is_sent_and_from_a_bare_thread(engine, recorder, send):
    send(engine)
    thread = threading.Thread(target=send, args=(engine,))
    thread.start()
    thread.join()
    line = send.__code__.co_firstlineno + 2
    assert [(one.site.function, one.site.line) for one in recorder.settle().recent()] == [(send.__name__, line)] * 2


def test_a_statement_takes_the_fast_way_through_sqlalchemy_while_it_is_heard(engine, recorder):
    with engine.connect() as conn:
        conn.execute(text("SELECT 1"))
        assert not conn._has_events
    assert not engine._has_events
    assert not engine.dialect._has_events
    assert recorder.statements_seen() == 1


def test_statements_of_every_kind_are_heard(engine, recorder):
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO item (name) VALUES ('one')"))
        conn.execute(text("INSERT INTO item (name) VALUES (:name)"), [{"name": "x"}, {"name": "y"}])
        conn.execution_options(no_parameters=True).exec_driver_sql("SELECT 1 AS without_parameters")
    assert [one.fingerprint for one in recorder.settle().recent()] == [
        "INSERT INTO item (name) VALUES (?)",
        "INSERT INTO item (name) VALUES (?)",
        "SELECT ? AS without_parameters",
    ]
    assert {one.site.function for one in recorder.ledger.recent()} == {"test_statements_of_every_kind_are_heard"}


def test_a_statement_that_begins_a_transaction_is_heard(engine, recorder):
    """SQLAlchemy's own advice for SQLite, where the wait for the lock is in this statement."""
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as conn:
        conn.execute(text("SELECT 1"))
    assert [one.fingerprint for one in recorder.settle().recent()] == ["BEGIN IMMEDIATE", "SELECT ?"]


def test_an_engine_with_other_options_is_heard_alone(engine):
    optioned = engine.execution_options(team="reports")
    further = optioned.execution_options(team="nightly")
    recorder = QueryRecorder(optioned)
    recorder.install()
    for number, one in enumerate((engine, optioned, further)):
        with one.connect() as conn:
            conn.exec_driver_sql(f"SELECT 0 AS column_{number}")
    assert [one.fingerprint for one in recorder.settle().recent()] == ["SELECT ? AS column_1", "SELECT ? AS column_2"]
    recorder.uninstall()


def wait_in_statements(engine):
    """A SQL function that waits, and the events that it sets and waits for."""
    inside, go_on = threading.Event(), threading.Event()

    def wait():
        inside.set()
        return 7 if go_on.wait(10) else 0

    event.listen(engine, "connect", lambda connection, _record: connection.create_function("wait", 0, wait))
    return inside, go_on


@pytest.mark.parametrize("leaving", [False, True])
def test_a_statement_that_the_driver_has_survives_that_we_come_or_go(leaving):
    engine = create_engine("sqlite://", poolclass=QueuePool)
    inside, go_on = wait_in_statements(engine)
    recorder = QueryRecorder(engine)
    if leaving:
        recorder.install()
    outcome = []

    def work():
        with engine.connect() as conn:
            outcome.append(conn.execute(text("SELECT wait()")).scalar())
            outcome.append(conn.execute(text("SELECT 8")).scalar())
        engine.dispose()  # a connection of SQLite is closed by its own thread

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    if leaving:
        (running,) = [lease.running for lease in recorder.holders()]
        assert running[0] == "SELECT wait()"
    recorder.uninstall() if leaving else recorder.install()
    go_on.set()
    thread.join()
    assert outcome == [7, 8]
    assert recorder.statements_seen() == 1  # the one that had begun to be heard, or the one after it
    recorder.uninstall()
    assert hooks(engine) == NOTHING


def test_who_wrapped_the_dialect_after_us_keeps_working_and_may_be_wrapped_again(engine):
    first, second = QueryRecorder(engine), QueryRecorder(engine)
    first.install()
    ours, calls = engine.dialect.do_execute, []

    def theirs(*arguments):
        calls.append(arguments[1])
        return ours(*arguments)

    engine.dialect.do_execute = theirs
    assert not first.listening()
    second.install()

    def send(number):
        with engine.connect() as conn:
            assert conn.execute(text(f"SELECT {number}")).scalar() == number
        return first.statements_seen(), second.statements_seen()

    assert send(1) == (1, 1)
    first.uninstall()
    assert send(2) == (1, 2)
    second.uninstall()
    assert engine.dialect.do_execute is theirs
    assert send(3) == (1, 2)
    assert calls == ["SELECT 1", "SELECT 2", "SELECT 3"]


class Interrupted(BaseException):
    pass


def test_a_statement_that_was_interrupted_is_no_error_of_the_databases(engine, recorder, monkeypatch):
    def interrupted(*_arguments):
        raise Interrupted

    recorder.uninstall()
    with monkeypatch.context() as patch:
        patch.setattr(type(engine.dialect), "do_execute", interrupted)
        recorder.install()
        with engine.connect() as conn:
            (lease,) = recorder.holders()
            with pytest.raises(Interrupted):
                conn.execute(text("SELECT 1"))
    assert (lease.running, lease.last_site) == (None, None)
    assert recorder.statements_seen() == 0


@pytest.mark.parametrize(("is_gone", "told"), [(lambda *_: True, True), (lambda *_: False, False), (None, False)])
def test_whether_the_connection_is_gone_is_asked_of_the_dialect(engine, monkeypatch, is_gone, told):
    def fails(*_arguments):
        raise ValueError("a dialect's own fault")

    recorder = QueryRecorder(engine)
    recorder.install()
    with engine.connect() as conn:
        asked = []

        def is_disconnect(*arguments):
            asked.append(arguments)
            return (is_gone or fails)(*arguments) if len(asked) == 1 else False  # the second time SQLAlchemy asks

        monkeypatch.setattr(engine.dialect, "is_disconnect", is_disconnect)
        with pytest.raises(exc.OperationalError):
            conn.execute(text("SELECT nothing"))
    (one,) = recorder.settle().errors()
    assert (one.error, one.lost) == ("OperationalError", told)
    assert int(repr(recorder.failures)[6:-1]) == (1 if is_gone is None else 0)
    recorder.uninstall()


def test_we_may_come_and_go_while_many_threads_send(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'busy.db'}", poolclass=QueuePool, pool_size=4)
    recorder, end, failed = QueryRecorder(engine), threading.Event(), []

    def work():
        try:
            while not end.is_set():
                with engine.connect() as conn:
                    assert conn.execute(text("SELECT 7")).scalar() == 7
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        recorder.install()
        recorder.uninstall()
    end.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert hooks(engine) == NOTHING
    assert int(repr(recorder.failures)[6:-1]) == 0
    engine.dispose()
