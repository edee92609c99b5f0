"""Services on real servers that get slow are watched without a key; the alert names route and line."""

from __future__ import annotations

import contextlib
import inspect
import random
import re
import threading
import time

import blinker
import fastapi
import flask
import pytest
import sqlalchemy

from beamlens import Beamlens
from beamlens.domains import DatabaseDomain
from beamlens.integrations import fastapi as fastapi_door
from beamlens.integrations import flask as flask_door
from tests.support.servers import uvicorn_server, werkzeug_server

USUAL_S = 14.0
"""Until the usual times are known: ten looks, one a second, and some."""


@contextlib.contextmanager
def clients(address, path, count=4, pause=lambda: 0.05):
    """Ask again and again from some threads, until the end."""
    over = threading.Event()

    def ask():
        while not over.wait(pause()):
            with contextlib.suppress(OSError):
                address.ask(path)

    threads = [threading.Thread(target=ask, name=f"client-{number}") for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30.0)


@contextlib.contextmanager
def watched(*more):
    """A watched process; the insights that were produced, and an event for the first."""
    found, produced = {"alerts": [], "insights": []}, threading.Event()

    def on_alert(_sender, *, alert, **_metadata):
        found["alerts"].append(alert)

    def on_insight(_sender, *, insight, **_metadata):
        found["insights"].append(insight)
        if insight.root_cause_hypothesis:
            produced.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    with Beamlens.start(watchers=["requests", *more]) as lens:
        yield found, produced, lens


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


def over_a_network(connection, _record):
    """Gives SQLite a function that takes as long as a query to a database elsewhere."""
    connection.create_function("pause", 0, lambda: threading.Event().wait(0.01))


def until(condition, seconds=40.0):
    """Wait for a condition."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        pause.wait(0.05)


class Shop:
    """A service in Flask with helpers in which it can get slow."""

    def __init__(self, folder):
        self.stock = threading.Lock()
        self.slow = threading.Event()
        self.engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'shop.db'}")
        sqlalchemy.event.listen(self.engine, "connect", over_a_network)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE lines (number INTEGER)")
            connection.exec_driver_sql("INSERT INTO lines VALUES (1)")

    def reserve(self):
        with self.stock:
            pass

    def prices(self):
        statement = sqlalchemy.text("SELECT pause() FROM lines WHERE number = :number")
        with self.engine.connect() as connection:
            for _ in range(41 if self.slow.is_set() else 1):
                connection.execute(statement, {"number": 1}).fetchall()

    def hold_the_lock(self, over):
        """A job that takes the stock's lock for long, and gives it back for a moment."""
        while not over.is_set():
            with self.stock:
                over.wait(0.6)

    def app(self):
        made = flask.Flask(__name__)
        flask_door.init_app(made)

        @made.post("/reservations")
        @made.get("/reservations")
        def reservations():
            self.reserve()
            return "ok"

        @made.get("/prices/<int:number>")
        def prices(number):
            self.prices()
            return "ok"

        return made


def test_a_route_that_waits_for_a_lock_in_a_helper_is_named_with_its_line(tmp_path):
    shop, over = Shop(tmp_path), threading.Event()
    job = threading.Thread(target=shop.hold_the_lock, args=(over,))
    with (
        werkzeug_server(shop.app()) as address,
        watched() as (found, produced, lens),
        clients(address, "/reservations"),
    ):
        threading.Event().wait(USUAL_S)
        assert found["alerts"] == []
        job.start()
        produced.wait(40.0)
        over.set()
        job.join(30.0)
    (insight, *_) = [insight for insight in found["insights"] if insight.root_cause_hypothesis]
    line = line_of(Shop.reserve, "with self.stock")
    assert f"test_slow_requests.py:{line} in Shop.reserve" in insight.root_cause_hypothesis
    assert "GET /reservations" in insight.summary
    assert {alert.anomaly_type for alert in found["alerts"]} <= {"latency_shift", "saturation", "throughput_collapse"}


def test_a_route_with_a_query_in_a_loop_is_named_with_the_statement_and_its_line(tmp_path):
    shop = Shop(tmp_path)
    with (
        werkzeug_server(shop.app()) as address,
        watched(DatabaseDomain(shop.engine)) as (found, produced, lens),
        clients(address, "/prices/7", count=3),
    ):
        threading.Event().wait(USUAL_S)
        assert found["alerts"] == []
        shop.slow.set()
        produced.wait(40.0)
        until(lambda: any(alert.anomaly_type == "latency_shift" for alert in found["alerts"]))
    (insight, *_) = [insight for insight in found["insights"] if insight.root_cause_hypothesis]
    line = line_of(Shop.prices, "connection.execute")
    assert insight.root_cause_hypothesis.startswith(
        f"Queries repeated in a loop at integration/test_slow_requests.py:{line} in Shop.prices:"
    )
    # Both domains tell it, `requests` with its route's time: one insight for what they agree on.
    route = next(alert for alert in found["alerts"] if alert.anomaly_type == "latency_shift")
    # One that had begun before the fault has fewer.
    (times,) = re.findall(r"is spent in (\d+) identical SQL statements a request at", route.observation)
    assert 20 <= int(times) <= 41
    assert "GET /prices/<int:number>" in insight.summary
    assert insight.confidence == "high"


def test_a_view_that_blocks_its_event_loop_is_named_with_its_line():
    slow = threading.Event()

    def render():
        if slow.is_set():
            time.sleep(0.4)

    app = fastapi.FastAPI()
    fastapi_door.init_app(app)

    @app.get("/pages/{number}")
    async def page(number: int):
        render()
        return number

    with uvicorn_server(app) as address, watched() as (found, produced, lens), clients(address, "/pages/1"):
        threading.Event().wait(USUAL_S)
        assert found["alerts"] == []
        slow.set()
        produced.wait(40.0)
        slow.clear()
    (insight, *_) = [insight for insight in found["insights"] if insight.root_cause_hypothesis]
    line = line_of(render, "time.sleep")
    assert f"test_slow_requests.py:{line} in " in insight.root_cause_hypothesis
    assert insight.root_cause_hypothesis.startswith("A blocked event loop at ")


def test_waves_of_load_over_fast_and_slow_routes_stay_without_an_alert():
    generator = random.Random(7)
    app = flask.Flask(__name__)
    flask_door.init_app(app)

    @app.get("/fast")
    def fast():
        return "x" * generator.randrange(2000)

    @app.get("/report")
    def report():
        threading.Event().wait(generator.uniform(0.2, 0.5))
        return "ok"

    @app.get("/poll")
    def poll():
        threading.Event().wait(3.0)
        return "ok"

    wave = [0.2]
    with (
        werkzeug_server(app) as address,
        watched() as (found, produced, lens),
        clients(address, "/fast", 4, lambda: wave[0] * generator.uniform(0.5, 1.5)),
        clients(address, "/report", 2),
        clients(address, "/poll", 2),
        clients(address, "/none", 1, lambda: 0.1),
    ):
        for pause in (0.2, 0.02, 0.3, 0.03, 0.2):
            wave[0] = pause
            threading.Event().wait(6.0)
        snapshot = lens.domain("requests").snapshot()
    assert snapshot["count_1m"] > 100
    assert snapshot["error_count_1m"] == 0
    assert found["alerts"] == []


@pytest.fixture(autouse=True)
def quiet(caplog):
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    yield
    logging.getLogger("werkzeug").setLevel(logging.NOTSET)
