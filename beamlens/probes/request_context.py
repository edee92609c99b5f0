"""The request that this thread or task works on: who asked for what is logged, raised, or queried now.

A door of `beamlens.integrations` makes an `InboundRequest` and enters it; whatever runs inside finds it with
`current`, at the cost of one ``ContextVar.get``. It follows the code into tasks, ``asyncio.to_thread`` and the thread
pools of anyio, which copy the context, and not into threads and executors, which do not.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from beamlens.evidence import Place
from beamlens.probes.exceptions import ExceptionText
from beamlens.probes.routes import normalise
from beamlens_actors import clock

Kind = Literal["http", "websocket", "celery"]
Part = Literal["sql", "http"]
Outcome = Literal["ok", "error", "aborted", "retry"]

MOST_REPEATS = 64
"""How many different calls are told apart in one request; the others count in its sums only."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?\Z")


class Call(NamedTuple):
    """What a request did outside of this process, by kind, statement or target, and line."""

    part: Part
    what: str
    place: Place | None


class InboundRequest:
    """One HTTP request, WebSocket or task while it is served. Text and numbers only.

    Whoever makes or finds it may read all of it; the counters are for the probes that add to them. An increment is one
    step of CPython's, so that several threads of a request may count.

    Attributes:
        kind: ``http``, ``websocket`` or ``celery``.
        verb: Method, ``WS`` or ``task``.
        path: Raw path as it came in, or the task's name. Not for display: it may carry what nobody should see.
        trace_id: 32 hex digits: of the W3C ``traceparent`` that came in, else made.
        at: When it began, in seconds since the epoch.
        began: The same on ``time.perf_counter``.
        queued: Seconds that it waited before it reached this process; ``None`` when nobody says.
        thread: Ident of the thread that it began on.
        task: Answers the asyncio task that serves it, if one does and it still lives.
        responding: Its response has begun.
        status: HTTP status, 0 while it is not known.
        took: Seconds until its response was complete; ``None`` until then.
        outcome: ``ok``, ``error``, ``aborted`` (the client went, or it was cancelled) or ``retry`` (a task).
        failure: The exception behind it that nobody of the program's caught, or that a framework did.
        outer: The request around it, for whoever ends it.
        over: It is not under way any more: what still runs in its context does not belong to it.
        sql_count: SQL statements so far.
        sql_seconds: Time in them.
        http_count: Outgoing HTTP calls so far.
        http_seconds: Time in them.
        repeats: Calls with how often and how many seconds, at most 64 different ones.
    """

    __slots__ = (
        "_resolve", "_route", "at", "began", "failure", "http_count", "http_seconds", "kind", "outcome", "outer",
        "over", "path", "queued", "repeats", "responding", "sql_count", "sql_seconds", "status", "task", "thread",
        "took", "trace_id", "verb",
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        verb: str,
        path: str,
        *,
        traceparent: str | None = None,
        queued: float | None = None,
        resolve: Callable[[], str | None] | None = None,
        task: Callable[[], Any] | None = None,
    ) -> None:
        """Begin now, on this thread.

        Args:
            kind: What it is.
            verb: Method, of a known few.
            path: Raw path, or the task's name.
            traceparent: The header of that name, if one came.
            queued: Seconds of waiting before.
            resolve: Answers the route's template once it is known; asked from any thread while it is under way.
            task: A weak reference to the asyncio task.
        """
        self.kind: Kind = kind
        self.verb = verb
        self.path = path
        self.trace_id = trace_of(traceparent) or os.urandom(16).hex()
        self.at = clock.time()
        self.began = time.perf_counter()
        self.queued = queued
        self.thread = threading.get_ident()
        self.task = task
        self.responding = False
        self.status = 0
        self.over = False
        self.took: float | None = None
        self.outcome: Outcome = "ok"
        self.failure: ExceptionText | None = None
        self.outer: InboundRequest | None = None
        self.sql_count = self.http_count = 0
        self.sql_seconds = self.http_seconds = 0.0
        self.repeats: dict[Call, list[float]] | None = None
        self._resolve = resolve
        self._route: str | None = None

    @property
    def route(self) -> str:
        """Such as ``POST /orders/{id}``: the framework's template; until it is known, the path without its ids."""
        found = self._route
        if found is None:
            template = self.template()
            found = f"{self.verb} {normalise(self.path) if template is None else template}"
            if template is not None or self._resolve is None:
                self._route = found
        return found

    @route.setter
    def route(self, template: str) -> None:
        self._route = f"{self.verb} {template}"

    def resolve_with(self, resolve: Callable[[], str | None]) -> None:
        """Name its route by somebody who knows more: asked from any thread while it is under way."""
        self._route, self._resolve = None, resolve

    def template(self) -> str | None:
        """The route's template, if whoever was asked to name it knows it by now."""
        try:
            return None if self._resolve is None else self._resolve()
        except Exception:  # noqa: BLE001 - it reads a framework's objects
            return None

    def age(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    def add_sql(self, seconds: float, statement: str = "", place: Place | None = None) -> None:
        """Count a SQL statement.

        Args:
            seconds: How long it took.
            statement: Its fingerprint, without parameters.
            place: The line of the program that sent it.
        """
        if self.took is not None:
            return  # what runs after the response does not make it slow
        self.sql_count += 1
        self.sql_seconds += seconds
        if statement:
            self._repeat(Call("sql", statement, place), seconds)

    def add_http(self, seconds: float, target: str = "", place: Place | None = None) -> None:
        """Count an outgoing HTTP call.

        Args:
            seconds: How long it took.
            target: Method, host and route, without parameters.
            place: The line of the program that made it.
        """
        if self.took is not None:
            return
        self.http_count += 1
        self.http_seconds += seconds
        if target:
            self._repeat(Call("http", target, place), seconds)

    def _repeat(self, call: Call, seconds: float) -> None:
        repeats = self.repeats
        if repeats is None:
            repeats = self.repeats = {}
        found = repeats.get(call)
        if found is None:
            if len(repeats) >= MOST_REPEATS:
                return
            found = repeats.setdefault(call, [0, 0.0])
        found[0] += 1
        found[1] += seconds

    def end(self) -> None:
        """It is not under way any more; fixes its route and lets go of the framework's objects."""
        self._route = self.route
        self._resolve = self.task = self.outer = None
        self.over = True


def trace_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C ``traceparent`` header; ``None`` unless it is well formed."""
    found = None if traceparent is None else _TRACEPARENT.match(traceparent)
    return None if found is None else found[1]


VARIABLE: ContextVar[InboundRequest | None] = ContextVar("beamlens_request", default=None)
"""Holds the request; for hot paths, which must look at ``over`` themselves. Others ask `current`."""


def current() -> InboundRequest | None:
    """The request that this thread or task works on, if one is under way."""
    found = VARIABLE.get()
    return None if found is None or found.over else found


def labels() -> tuple[str, str]:
    """Route and trace id of the current request, ``""`` without one; about 0.2 us."""
    found = VARIABLE.get()
    return ("", "") if found is None or found.over else (found.route, found.trace_id)


def enter(request: InboundRequest) -> InboundRequest | None:
    """Make it the current request; returns the one that was, for `leave`."""
    outer = VARIABLE.get()
    VARIABLE.set(request)
    return outer


def leave(request: InboundRequest, outer: InboundRequest | None) -> None:
    """Undo `enter`. In another context, as when a server ends a response elsewhere, there is nothing to undo."""
    if VARIABLE.get() is request:
        # Requests that overlap on one thread may end in any order: one that is over comes not back.
        VARIABLE.set(None if outer is None or outer.over else outer)
