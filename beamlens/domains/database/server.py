"""Asks the database server itself: read-only, on a short connection of its own, within a deadline."""

from __future__ import annotations

import asyncio
import decimal
import logging
import math
import threading
import weakref
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from beamlens.domains.database.question import Question
from beamlens_actors import clock
from beamlens_actors.backends.threads import spawn

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

logger = logging.getLogger("beamlens.domains.database")

DEADLINE_S = 6.0
_STATEMENT_MS = 3000
_LOCK_MS = 300
_GIVEN_UP_S = 60.0
_MOST_GIVEN_UP = 3
_MOST_ROWS = 500

Row = dict[str, Any]


class ServerError(Exception):
    """The server could not be asked, or refused.

    Attributes:
        code: ``permission``, ``timeout``, ``connection``, ``busy``, ``extension_missing`` or ``failed``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Session:
    """One read-only transaction; alive within `PostgresServer.ask` only."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def begin(self) -> None:
        """Make it read-only and bounded, whatever the host's connections are set to."""
        cursor = self._connection.cursor()
        try:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SELECT current_setting('transaction_read_only')")
            if cursor.fetchone()[0] != "on":  # a connection that commits by itself
                cursor.execute("BEGIN READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}")
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            cursor.execute("SET LOCAL application_name = 'beamlens'")
        finally:
            cursor.close()

    def rows(self, sql: str) -> list[Row]:
        """Run a query; at most 500 rows, JSON types.

        Args:
            sql: The query, without parameters.
        """
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description]
            return [
                {name: _plain(value) for name, value in zip(names, row, strict=True)}
                for row in cursor.fetchmany(_MOST_ROWS)
            ]
        finally:
            cursor.close()


class PostgresServer:
    """The server behind an engine. One question at a time; each on a connection that is closed after it.

    The connection is made as the engine makes its own (its URL, ``connect_args``, ``creator``), but not from its pool:
    that may be exhausted, which may be what is to be found out. A question that is not answered in time is cut off;
    where that does not help, since not even a connection comes about, it is given up after a minute, thrice at most.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._change = threading.Lock()
        self._question: Question | None = None
        self._given_up: list[Question] = []

    def ask(self, question: Callable[[Session], Any], deadline: float = DEADLINE_S) -> Any:
        """Ask, and wait for the answer.

        Args:
            question: Runs queries and returns the answer.
            deadline: Seconds after which the wait ends. A statement ends by itself after 3 s.

        Raises:
            ServerError: No answer; says why.
        """
        done = threading.Event()
        found: list[Any] = []

        def take(answer: Any) -> None:
            found.append(answer)
            done.set()

        asked = self.start(question, take)
        if not clock.wait(done, deadline):
            asked.cut()
            raise ServerError("timeout", f"the server did not answer within {deadline:g} s")
        if isinstance(found[0], ServerError):
            raise found[0]
        return found[0]

    def start(self, question: Callable[[Session], Any], take: Callable[[Any], object]) -> Question:
        """Ask on a thread of its own, which calls `take` with the answer, or with the `ServerError`.

        Raises:
            ServerError: An earlier question has not been answered yet, or there is nobody to ask.
        """
        engine = self._engine()
        if engine is None:
            raise ServerError("connection", "the engine is gone")
        mine = Question()
        with self._change:
            self._make_way()
            self._question = mine

        def run() -> None:
            try:
                answer = _converse(engine, question, mine)
            except BaseException as error:  # noqa: BLE001 - handed over
                answer = _explain(error)
            finally:
                mine.over.set()
            take(answer)

        try:
            spawn(run, "beamlens-database")
        except RuntimeError as error:
            mine.over.set()
            raise ServerError("failed", f"no thread could be started: {error}") from error
        return mine

    def close(self) -> None:
        """End the connection under a question that is under way."""
        with self._change:
            if self._question is not None:
                self._question.cut()

    def _make_way(self) -> None:
        before = self._question
        if before is None or before.over.is_set():
            return
        age = before.age()
        if age >= DEADLINE_S:
            before.cut()
        self._given_up = [one for one in self._given_up if not one.over.is_set()]
        if age < _GIVEN_UP_S or len(self._given_up) >= _MOST_GIVEN_UP:
            raise ServerError("busy", "an earlier question to the server has not been answered yet; ask again later")
        self._given_up.append(before)


def _converse(engine: Engine, question: Callable[[Session], Any], asked: Question) -> Any:
    if not engine.dialect.is_async:
        return _on_own_connection(engine, question, asked)
    from sqlalchemy.util import greenlet_spawn

    async def run() -> Any:
        return await asyncio.wait_for(greenlet_spawn(_on_own_connection, engine, question, asked), DEADLINE_S)

    return asyncio.run(run())


def _on_own_connection(engine: Engine, question: Callable[[Session], Any], asked: Question) -> Any:
    from sqlalchemy.pool import NullPool

    own = NullPool(engine.pool._creator, dialect=engine.dialect)  # noqa: SLF001 - how its host connects is kept there only
    connection = own.connect()
    try:
        asked.connected(connection.driver_connection)
        session = Session(connection)
        session.begin()
        return question(session)
    finally:
        try:
            connection.rollback()
        finally:
            asked.ended()
            connection.close()


def _explain(error: BaseException) -> ServerError:
    if isinstance(error, ServerError):
        return error
    cause: BaseException = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    text = (str(cause).strip() or type(cause).__name__).splitlines()[0][:300]
    logger.debug("the database server could not be asked", exc_info=error)
    if state == "42501":
        return ServerError("permission", f"the role that the engine connects as may not read this: {text}")
    if state in ("57014", "55P03"):
        return ServerError("timeout", f"the server ended the query: {text}")
    if state == "55000" and "shared_preload_libraries" in text:
        return ServerError("extension_missing", f"the server counts no statements: {text}")
    name = type(cause).__name__
    if isinstance(cause, TimeoutError):
        return ServerError("timeout", f"the server did not answer within {DEADLINE_S:g} s")
    if state is None and ("OperationalError" in name or isinstance(cause, OSError)):
        return ServerError("connection", f"no connection to the server: {text}")
    return ServerError("failed", f"{name}: {text}")


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case decimal.Decimal() | float():
            number = float(value)
            return round(number, 3) if math.isfinite(number) else None
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return round(value.total_seconds(), 3)
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
