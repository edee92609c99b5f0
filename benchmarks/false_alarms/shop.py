"""A healthy service that has something for every built-in domain."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import logging
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import beamlens
from beamlens.integrations.wsgi import WSGIMiddleware
from beamlens_actors import Actor
from beamlens_supervision import ChildSpec, Supervisor

log = logging.getLogger("shop")


class Stock(Actor):
    """Keeps count of articles; a child of the shop's own supervision tree."""

    def on_start(self) -> None:
        """Nothing is sold yet."""
        self.sold: dict[int, int] = {}

    def on_receive(self, message: Any) -> Any:
        """An article was sold; a damaged message ends the actor, and its supervisor begins anew."""
        self.sold[message % 500] = self.sold.get(message % 500, 0) + 1


class Shop:
    """Requests through WSGI, SQL through a pool, calls to another service, actors, a thread pool, an event loop.

    Attributes:
        engine: Its database: SQLite in a file, behind a pool of connections.
        chance: Its random numbers.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.engine = sa.create_engine(
            f"sqlite:///{folder / f'shop-{seed}.db'}",
            poolclass=sa.QueuePool,
            connect_args={"timeout": 30, "check_same_thread": False},
        )
        with self.engine.begin() as connection:
            connection.exec_driver_sql("pragma journal_mode=wal")
            connection.exec_driver_sql("pragma synchronous=off")
            connection.exec_driver_sql("create table if not exists orders (id integer primary key, body text)")
        command = [sys.executable, "-m", "benchmarks.false_alarms.supplier", str(seed)]
        self._supplier = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._supplier.stdout is not None
        self._port = int(self._supplier.stdout.readline())
        self._calls = threading.local()
        specs = [ChildSpec(f"stock-{number}", Stock.start) for number in range(3)]
        self._stocks = Supervisor.start(specs, name="Stocks", max_restarts=100)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="mailer")
        self._bodies: dict[int, str] = {}
        beamlens.register_table("bodies", self._bodies, owner=self)
        self._price = functools.lru_cache(maxsize=500)(self._find_price)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="events", daemon=True).start()
        self._application = WSGIMiddleware(self._answer)

    def close(self) -> None:
        """End the other service."""
        self._supplier.kill()
        self._supplier.wait()

    def request(self) -> None:
        """One request, through the middleware as from a server."""
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/orders"}
        for _ in self._application(environ, lambda *_: lambda _body: None):
            pass

    def serve(self, rate: Callable[[float], float]) -> None:
        """Requests at random times, at a rate that `rate` gives for the seconds since the start; never returns."""
        began, jobs = time.monotonic(), queue.Queue[None](1000)

        def work() -> None:
            while True:
                jobs.get()
                self.request()

        for number in range(4):
            threading.Thread(target=work, name=f"worker-{number}", daemon=True).start()
        while True:
            jobs.put(None)
            time.sleep(self.chance.expovariate(max(0.2, rate(time.monotonic() - began))))

    def _answer(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Parses, asks its database, its caches and the supplier, tells its actors, logs; now and then refuses."""
        chance = self.chance
        body = json.dumps({"items": [chance.random() for _ in range(chance.randrange(5, 200))]})
        article = int(chance.paretovariate(0.7)) % 5000
        self._price(article)
        self._store(body)
        self._bodies[chance.randrange(2000)] = body
        if chance.random() < 0.5:
            self._ask_supplier(article)
        if (stock := self._stocks.child(f"stock-{article % 3}")) is not None:
            # One message in two thousand is damaged: a supervisor is there for that.
            stock.tell(None if chance.random() < 0.0005 else article)
        self._pool.submit(self._send_mail, body)
        asyncio.run_coroutine_threadsafe(self._tell_clients(), self._loop)
        self._log(body)
        start_response("200 OK", [])
        return [body.encode()]

    def _store(self, body: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text("insert into orders (body) values (:body)"), {"body": body})
            connection.execute(sa.text("delete from orders where id < (select max(id) from orders) - 500"))
            connection.execute(sa.text("select * from orders order by id desc limit 5")).all()

    def _find_price(self, article: int) -> float:
        return float(article) * 1.19

    def _ask_supplier(self, article: int) -> None:
        connection = getattr(self._calls, "connection", None)
        if connection is None:
            connection = self._calls.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", f"/articles/{article}")
        connection.getresponse().read()

    def _send_mail(self, body: str) -> None:
        time.sleep(self.chance.random() * 0.02)
        if self.chance.random() < 0.05:
            with tempfile.TemporaryFile() as file:
                file.write(body.encode())
                time.sleep(self.chance.random() * 0.2)

    async def _tell_clients(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.1)

    def _log(self, body: str) -> None:
        log.info("order of %d bytes", len(body))
        if self.chance.random() < 0.01:
            try:
                int("no such article")
            except ValueError:
                log.warning("order refused", exc_info=True)
        if self.chance.random() < 0.002:
            log.error("payment not possible")
