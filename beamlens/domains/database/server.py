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

from beamlens_actors import clock
from beamlens_actors.backends.threads import spawn

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

logger = logging.getLogger("beamlens.domains.database")

DEADLINE_S = 6.0
_STATEMENT_MS = 3000
_LOCK_MS = 300
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
    that may be exhausted, which may be what is to be found out.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._asking = threading.Lock()

    def ask(self, question: Callable[[Session], Any], deadline: float = DEADLINE_S) -> Any:
        """Ask, and wait for the answer.

        Args:
            question: Runs queries and returns the answer.
            deadline: Seconds after which the wait ends. A statement ends by itself after 3 s; a server that does not
                even accept connections may take longer, and until then nothing more is asked.

        Raises:
            ServerError: No answer; says why.
        """
        done = threading.Event()
        found: list[Any] = []

        def take(answer: Any) -> None:
            found.append(answer)
            done.set()

        self.start(question, take)
        if not clock.wait(done, deadline):
            raise ServerError("timeout", f"the server did not answer within {deadline:g} s")
        if isinstance(found[0], ServerError):
            raise found[0]
        return found[0]

    def start(self, question: Callable[[Session], Any], take: Callable[[Any], object]) -> None:
        """Ask on a thread of its own, which calls `take` with the answer, or with the `ServerError`.

        Raises:
            ServerError: An earlier question has not been answered yet, or there is nobody to ask.
        """
        engine = self._engine()
        if engine is None:
            raise ServerError("connection", "the engine is gone")
        if not self._asking.acquire(blocking=False):
            raise ServerError("busy", "an earlier question to the server has not been answered yet; ask again later")

        def run() -> None:
            try:
                answer = _converse(engine, question)
            except BaseException as error:  # noqa: BLE001 - handed over
                answer = _explain(error)
            finally:
                self._asking.release()
            take(answer)

        try:
            spawn(run, "beamlens-database")
        except RuntimeError as error:
            self._asking.release()
            raise ServerError("failed", f"no thread could be started: {error}") from error


def _converse(engine: Engine, question: Callable[[Session], Any]) -> Any:
    if not engine.dialect.is_async:
        return _on_own_connection(engine, question)
    from sqlalchemy.util import greenlet_spawn

    async def run() -> Any:
        return await greenlet_spawn(_on_own_connection, engine, question)

    return asyncio.run(run())


def _on_own_connection(engine: Engine, question: Callable[[Session], Any]) -> Any:
    from sqlalchemy.pool import NullPool

    own = NullPool(engine.pool._creator, dialect=engine.dialect)  # noqa: SLF001 - how its host connects is kept there only
    connection = own.connect()
    try:
        session = Session(connection)
        session.begin()
        return question(session)
    finally:
        try:
            connection.rollback()
        finally:
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
