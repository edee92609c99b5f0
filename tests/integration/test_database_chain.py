"""A program with a fault in how it uses its database, on a real PostgreSQL: the alert names the line, without a key."""

from __future__ import annotations

import threading

import blinker
import pytest
from sqlalchemy import ForeignKey, create_engine, exc, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from beamlens import Beamlens
from tests.support.postgres import postgres

__all__ = ["postgres"]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "chain_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[list[Line]] = relationship()


class Line(Base):
    __tablename__ = "chain_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("chain_order.id"), index=True)
    price: Mapped[int]


Base.registry.configure()


@pytest.fixture
def engine(postgres, request):
    size = getattr(request, "param", 4)
    made = create_engine(postgres.url(), pool_size=size, max_overflow=0, pool_timeout=2)
    Base.metadata.create_all(made)
    with Session(made) as session:
        session.add_all(Order(lines=[Line(price=number) for number in range(3)]) for _ in range(40))
        session.commit()
    yield made
    Base.metadata.drop_all(made)
    made.dispose()


class Heard:
    """Alerts and insights of an instance."""

    def __init__(self):
        self.alerts = []
        self.insights = []
        self.any_alert, self.any_insight = threading.Event(), threading.Event()
        blinker.signal("beamlens.watcher.alert_fired").connect(self.on_alert)
        blinker.signal("beamlens.coordinator.insight_produced").connect(self.on_insight)

    def on_alert(self, _sender, *, alert, **_metadata):
        self.alerts.append(alert)
        self.any_alert.set()

    def on_insight(self, _sender, *, insight, **_metadata):
        self.insights.append(insight)
        self.any_insight.set()


@pytest.fixture
def heard():
    return Heard()


class Load:
    """Threads that do something again and again."""

    def __init__(self, *works):
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in works]

    def _run(self, work):
        while not self.over.is_set():
            work()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error):
        self.over.set()
        for thread in self._threads:
            thread.join()


def watch(engine):
    return Beamlens.start(watchers=[{"name": "database", "engine": engine, "poll": 1.0}])


def total_with_a_query_for_each_order(engine):
    with Session(engine) as session:
        return sum(line.price for order in session.scalars(select(Order)) for line in order.lines)


def total_with_two_queries(engine):
    with Session(engine) as session:
        orders = session.scalars(select(Order).options(selectinload(Order.lines)))
        return sum(line.price for order in orders for line in order.lines)


def test_one_query_for_each_row_is_named_with_line_statement_and_count(engine, heard):
    with watch(engine), Load(lambda: total_with_a_query_for_each_order(engine)):
        assert heard.any_insight.wait(40)
    (alert,) = heard.alerts
    assert alert.anomaly_type == "repeated_statements"
    (insight,) = heard.insights
    assert insight.confidence == "high"
    cause = insight.root_cause_hypothesis
    assert "Queries repeated in a loop" in cause
    line = total_with_a_query_for_each_order.__code__.co_firstlineno + 2
    assert f"test_database_chain.py:{line}" in cause
    assert "up to 40 times in one transaction" in cause
    assert "FROM chain_line WHERE ? = chain_line.order_id" in cause


def leak(engine, kept):
    kept.append(engine.connect())


def ask(engine):
    try:
        total_with_two_queries(engine)
    except exc.TimeoutError:
        pass


def test_a_pool_that_a_leak_exhausts_is_explained_by_the_line_that_took_the_connections(engine, heard):
    kept = []
    with watch(engine):
        for _ in range(4):
            leak(engine, kept)
        with Load(lambda: ask(engine), lambda: ask(engine)):
            assert heard.any_insight.wait(40)
    for conn in kept:
        conn.close()
    assert heard.alerts[0].anomaly_type == "pool_wait_ms_high"
    cause = heard.insights[0].root_cause_hypothesis
    assert "connections that are not given back" in cause
    assert f"test_database_chain.py:{leak.__code__.co_firstlineno + 1}" in cause
    assert "4 of 4 connections" in cause


def keep_a_lock(engine, held, release):
    with engine.begin() as conn:
        conn.execute(text("UPDATE chain_order SET id = id WHERE id = 1"))
        held.set()
        release.wait(60)


def want_it(engine):
    with engine.begin() as conn:
        conn.execute(text("UPDATE chain_order SET id = id WHERE id = 1"))


def test_a_lock_that_others_wait_for_is_explained_by_the_line_that_holds_it(engine, heard):
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=keep_a_lock, args=(engine, held, release))
    waiter = threading.Thread(target=want_it, args=(engine,))
    with watch(engine):
        holder.start()
        held.wait(10)
        waiter.start()
        heard.any_insight.wait(60)
        release.set()
        holder.join()
        waiter.join()
    (alert,) = heard.alerts
    assert alert.anomaly_type == "lock_wait_s_high"
    cause = heard.insights[0].root_cause_hypothesis
    assert "lock in the database" in cause
    assert f"test_database_chain.py:{keep_a_lock.__code__.co_firstlineno + 2}" in cause
    assert "idle in transaction" in cause


def price_of(engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT max(price), pg_sleep(max(seconds)) FROM chain_line, chain_delay"))


def page(engine, over):
    """Nine statements, one of which becomes slow."""
    price_of(engine)
    for _ in range(4):
        total_with_two_queries(engine)
    over.wait(0.01)


@pytest.fixture
def delay(engine):
    """Sets how long the statement of `price_of` takes: to the program it is the same one all the time."""
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE chain_delay AS SELECT 0.0::float AS seconds"))

    def change(seconds):
        with engine.begin() as conn:
            conn.execute(text("UPDATE chain_delay SET seconds = :seconds"), {"seconds": seconds})

    yield change
    with engine.begin() as conn:
        conn.execute(text("DROP TABLE chain_delay"))


def test_a_statement_that_became_slow_is_named_with_its_line_and_its_usual_time(engine, heard, delay):
    over = threading.Event()
    with watch(engine) as lens, Load(lambda: page(engine, over)):
        while not any("pg_sleep" in name for name in lens.domain("database").recorder.settle().usual()):
            over.wait(0.1)
        assert heard.alerts == []
        delay(0.2)
        assert heard.any_insight.wait(40)
        over.set()
    alert = heard.alerts[0]
    assert alert.anomaly_type == "latency_shift"
    (insight,) = heard.insights
    assert insight.confidence == "high"
    cause = insight.root_cause_hypothesis
    assert f"test_database_chain.py:{price_of.__code__.co_firstlineno + 2}" in cause
    assert "SELECT max(price), pg_sleep(max(seconds)) FROM chain_line, chain_delay" in cause
    assert "instead of a usual" in cause


def vat_of(engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT vat FROM chain_line WHERE id = 'hunter2'::text::int"))


def ask_for_vat(engine, over):
    try:
        vat_of(engine)
    except exc.ProgrammingError:
        over.wait(0.05)


def test_errors_of_the_database_are_named_with_kind_statement_and_line_and_without_literals(engine, heard):
    over = threading.Event()
    with watch(engine), Load(lambda: (total_with_two_queries(engine), over.wait(0.02))):
        assert not heard.any_alert.wait(5)
        with Load(lambda: ask_for_vat(engine, over)):
            assert heard.any_insight.wait(40)
        over.set()
    assert heard.alerts[0].anomaly_type == "database_errors"
    (insight,) = heard.insights
    assert insight.confidence == "high"
    cause = insight.root_cause_hypothesis
    assert f"test_database_chain.py:{vat_of.__code__.co_firstlineno + 2}" in cause
    assert "UndefinedColumn (42703)" in cause
    assert "SELECT vat FROM chain_line WHERE id = ?" in cause
    assert "hunter2" not in repr((heard.alerts, heard.insights))


def forget_the_end(engine, begun, release):
    with Session(engine) as session:
        session.scalar(select(func.count()).select_from(Line))
        begun.set()
        release.wait(60)


def test_a_transaction_that_is_left_open_is_named_with_its_last_line(engine, heard):
    begun, release = threading.Event(), threading.Event()
    keeper = threading.Thread(target=forget_the_end, args=(engine, begun, release), name="keeper")
    with watch(engine) as lens, Load(lambda: (total_with_two_queries(engine), release.wait(0.02))):
        keeper.start()
        begun.wait(10)
        # As if it were so for a minute.
        (lease,) = [one for one in lens.domain("database").recorder.holders() if one.thread == "keeper"]
        lease.entered -= 61
        lease.last -= 61
        assert heard.any_insight.wait(40)
        release.set()
        keeper.join()
    assert heard.alerts[0].anomaly_type == "idle_transaction_s_high"
    cause = heard.insights[0].root_cause_hypothesis
    assert f"test_database_chain.py:{forget_the_end.__code__.co_firstlineno + 2}" in cause
    assert "in keeper" in cause
    assert heard.insights[0].confidence == "high"


def report(engine):
    with engine.connect() as conn:
        conn.execute(text("SELECT count(*), pg_sleep(5) FROM chain_line"))


def ask_for_report(engine):
    try:
        report(engine)
    except exc.TimeoutError:
        pass


def test_a_pool_that_slow_statements_exhaust_is_explained_by_their_line(engine, heard):
    works = [lambda: ask_for_report(engine)] * 4 + [lambda: ask(engine)] * 3
    with watch(engine), Load(*works):
        assert heard.any_insight.wait(40)
    assert heard.alerts[0].anomaly_type == "pool_wait_ms_high"
    cause = heard.insights[0].root_cause_hypothesis
    assert f"test_database_chain.py:{report.__code__.co_firstlineno + 2}" in cause
    assert "4 of 4 connections run a statement" in cause


def busy(engine, over):
    over.wait(0.01)
    total_with_two_queries(engine)
    with Session(engine) as session:
        session.add(Order(lines=[Line(price=1)]))
        session.flush()
        session.rollback()
        session.scalar(select(func.count()).select_from(Line))


def slow_now_and_then(engine, over):
    with engine.connect() as conn:
        conn.execute(text("SELECT pg_sleep(0.12)"))
    over.wait(0.5)


def failing_now_and_then(engine, over):
    with engine.connect() as conn, pytest.raises(exc.IntegrityError):
        conn.execute(text("INSERT INTO chain_line (order_id, price) VALUES (-1, 1)"))
    over.wait(1.0)


@pytest.mark.parametrize("engine", [8], indirect=True)
def test_a_busy_healthy_program_stays_without_an_alert(engine, heard):
    over = threading.Event()
    works = [lambda: busy(engine, over)] * 5
    works += [lambda: slow_now_and_then(engine, over), lambda: failing_now_and_then(engine, over)]
    with watch(engine) as lens, Load(*works):
        assert not heard.any_alert.wait(15)
        over.set()
        snapshot = lens.domain("database").snapshot()
    assert heard.alerts == []
    assert snapshot["query_count_1m"] > 500
