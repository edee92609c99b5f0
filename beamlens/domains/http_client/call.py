"""An outgoing call while it is made, and where the taps hand it in. All of this runs on the host's threads."""

from __future__ import annotations

import itertools
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any, Literal, Protocol

from beamlens.domains.http_client.failure import CANCELLED, kind_of
from beamlens.probes.call_site import CallSites, Site
from beamlens.probes.frames import is_library_file
from beamlens.probes.request_context import VARIABLE, InboundRequest
from beamlens.probes.routes import known_method, normalise
from beamlens_actors import clock

Library = Literal["http.client", "urllib3", "httpx", "aiohttp"]
Stage = Literal["pool", "wire", "body"]
"""Waits for a connection of its pool; is sent and waited for; is answered, its body under way."""
Limit = Literal["set", "none", "unknown"]

_MOST_HOST = 100
_MOST_PATH = 500
_PATH_END = re.compile(r"[?#]")
_DEFAULT_PORTS = (80, 443, None)


class Call:
    """One outgoing call, its retries included. Text and numbers only; the query of its address is never kept.

    Attributes:
        library: Whose stack it goes through.
        method: HTTP method.
        host: Host, with its port unless that is the usual one.
        path: Raw path. Not for display: see `route`.
        site: The line of the program that makes it.
        at: When it began, in seconds since the epoch.
        began: The same on ``time.perf_counter``.
        thread: Ident of the thread that it began on.
        request: The inbound request in which it is made.
        stage: How far it is.
        limit: Whether a timeout would end the wait for the answer.
        retries: Times that the library sent it again.
        pool_wait: Seconds that it waited for a free connection.
        first_byte: Seconds until the answer's headers were there; ``None`` until then.
        status: HTTP status, 0 without an answer.
        took: Seconds until the body was read, or it failed; ``None`` until then.
        error: How it failed (see `failure`), ``""`` if it did not.
        raised: Name of the exception's type.
        received: Bytes of the body; ``None`` when nobody counted.
        over: It has ended.
        response: A weak reference to the library's response, for whoever looks whether it was closed; until then to the
            connection, where the program may just drop it.
        returned: The library has given its answer to the program.
        drained: Its body has ended.
        claims: Taken out by whoever ends it: the host's thread, or one that finds it dropped.
        connecting: Seconds of the wait for a connection that went into making one.
    """

    __slots__ = (
        "__weakref__", "_route", "at", "began", "claims", "connecting", "drained", "error", "first_byte", "host",
        "library", "limit", "method", "over", "path", "pool_wait", "raised", "received", "request", "response",
        "retries", "returned", "site", "stage", "status", "thread", "took",
    )  # fmt: skip

    def __init__(self, library: Library, method: str, host: str, path: str, site: Site | None) -> None:
        self.library: Library = library
        self.method = known_method(method)
        self.host = host
        self.path = path
        self.site = site
        self.at = clock.time()
        self.began = time.perf_counter()
        self.thread = threading.get_ident()
        self.request: InboundRequest | None = VARIABLE.get()
        self.stage: Stage = "wire"
        self.limit: Limit = "unknown"
        self.retries = 0
        self.pool_wait = self.connecting = 0.0
        self.first_byte: float | None = None
        self.status = 0
        self.took: float | None = None
        self.error = self.raised = ""
        self.received: int | None = None
        self.over = self.returned = self.drained = False
        self.response: Callable[[], Any] | None = None
        self.claims = [None]
        self._route: str | None = None

    @property
    def route(self) -> str:
        """Such as ``GET api.example.com/users/{id}``."""
        if self._route is None:
            self._route = f"{self.method} {self.host}{normalise(self.path)}"
        return self._route

    @property
    def failed(self) -> bool:
        """Whether the other side, or the way there, failed."""
        return bool(self.error) and self.error != CANCELLED

    def age(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began


class Sink(Protocol):
    """Who hears of calls: quick, without a lock that blocks. What it raises is swallowed and counted."""

    def begun(self, call: Call) -> None:
        """A call is made."""
        ...

    def ended(self, call: Call) -> None:
        """It has ended; all of it is known."""
        ...


CURRENT: ContextVar[Call | None] = ContextVar("beamlens_outgoing", default=None)
"""The call that a library is making in this thread or task, for its own lower layers."""

_HERE = __name__.rpartition(".")[0]
_sinks: tuple[Sink, ...] = ()
_change = threading.Lock()
_lost: itertools.count[int] = itertools.count()
_find_site = CallSites("requests", "urllib3", "httpx", "httpcore", "aiohttp").find


def add(sink: Sink) -> None:
    """Have calls told to a sink."""
    global _sinks
    with _change:
        if sink not in _sinks:
            _sinks = (*_sinks, sink)


def remove(sink: Sink) -> bool:
    """Undo `add`; answers whether anybody still listens."""
    global _sinks
    with _change:
        _sinks = tuple(other for other in _sinks if other is not sink)
        return bool(_sinks)


def after_fork() -> None:
    """In a forked child: nobody listens here."""
    global _sinks, _change
    _change = threading.Lock()
    _sinks = ()


def listening() -> bool:
    """Whether anybody does."""
    return bool(_sinks)


def lost() -> int:
    """How many times telling of a call failed since this process began; should be 0."""
    return int(repr(_lost)[6:-1])


def count_lost() -> None:
    """Our own trouble, not the host's."""
    next(_lost)


def begin(library: Library, method: str, host: str, port: int | None, path: str, *, depth: int) -> Call | None:
    """A library makes a call. Never raises.

    Args:
        library: Which.
        method: HTTP method.
        host: Host, without port.
        port: Port, if one is known.
        path: Path, with or without a query, which is left out.
        depth: Frames between here and the library.

    Returns:
        What to hand on; ``None`` when nobody wants to know, or it is a call of Beamlens's own.
    """
    sinks = _sinks
    if not sinks:
        return None
    try:
        frame = sys._getframe(depth)  # noqa: SLF001 - the only way to it
        site = _find_site(frame)
        if (site is None or is_library_file(site.file)) and _is_own(frame):
            return None
        name = host.rpartition("@")[2][:_MOST_HOST]  # urllib.request leaves a password in it
        if ":" in name and not name.startswith("["):
            name = f"[{name}]"
        shown = name if port in _DEFAULT_PORTS else f"{name}:{port}"
        call = Call(library, method, shown, _PATH_END.split(path[:_MOST_PATH], maxsplit=1)[0], site)
    except Exception:  # noqa: BLE001 - the host's call must not fail
        next(_lost)
        return None
    for sink in sinks:
        try:
            sink.begun(call)
        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
            next(_lost)
    return call


def _is_own(frame: FrameType | None) -> bool:
    """Whether Beamlens makes this call: no line of the program's is in between."""
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if type(module) is str and module.startswith("beamlens.") and not module.startswith(_HERE):
            return True
        frame = frame.f_back
    return False


def answered(call: Call, status: int, response: object = None, limit: int | None = None) -> None:
    """The headers of the answer are there; its body is not.

    Args:
        call: Which.
        status: HTTP status.
        response: What the library answers with.
        limit: Bytes of the body, where they are known.
    """
    call.first_byte = time.perf_counter() - call.began
    call.status = status
    call.stage = "body"
    call.received = limit
    if response is not None:
        call.response = weakref.ref(response)


def finish(call: Call, error: BaseException | None = None, *, at: float | None = None) -> None:
    """It has ended; a second time changes nothing. Never raises.

    Args:
        call: Which.
        error: What ended it, unless it was answered.
        at: When, in seconds since it began; now by default.
    """
    try:
        call.claims.pop()
    except IndexError:
        return
    try:
        call.over = True
        call.took = took = time.perf_counter() - call.began if at is None else at
        if error is not None:
            call.error, call.raised = kind_of(error), type(error).__name__
        elif call.status >= 500:
            call.error = "5xx"
        call.response = None
        request = call.request
        if request is not None:
            call.request = None
            if not request.over:
                request.add_http(took, call.route, None if call.site is None else call.site.place)
    except Exception:  # noqa: BLE001 - the host's call must not fail
        next(_lost)
    for sink in _sinks:
        try:
            sink.ended(call)
        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
            next(_lost)
