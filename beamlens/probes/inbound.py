"""Where the doors hand in what comes in: requests, WebSockets, tasks; and who wants to hear of it.

All of this runs on the host's threads: nothing here blocks or raises, and a door asks `listening` first.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from beamlens.probes import hooks
from beamlens.probes.exceptions import describe
from beamlens.probes.request_context import VARIABLE, InboundRequest, Kind, enter, leave


class Sink(Protocol):
    """Who hears of requests: quick, without a lock that blocks. What it raises is swallowed and counted."""

    def begun(self, request: InboundRequest) -> None:
        """A request came in."""
        ...

    def answered(self, request: InboundRequest) -> None:
        """Its response is complete, or never will be: ``took`` and ``outcome`` are known."""
        ...


_sinks: tuple[Sink, ...] = ()
_change = threading.Lock()
_lost: itertools.count[int] = itertools.count()


def add(sink: Sink) -> None:
    """Have requests handed to a sink; adding one twice changes nothing."""
    global _sinks
    with _change:
        if sink not in _sinks:
            _sinks = (*_sinks, sink)


def remove(sink: Sink) -> None:
    """Undo `add`. Requests under way are still ended."""
    global _sinks
    with _change:
        _sinks = tuple(other for other in _sinks if other is not sink)


def listening() -> bool:
    """Whether anybody wants to hear of requests: if not, a door lets everything through as if it were not there."""
    return bool(_sinks)


def lost() -> int:
    """How many times a request could not be handed in since this process began; should be 0."""
    return int(repr(_lost)[6:-1])


def after_fork() -> None:
    """In a forked child: nobody listens here, and the request that the parent was in is not ours."""
    global _sinks, _change
    _change = threading.Lock()
    _sinks = ()
    VARIABLE.set(None)


def begin(
    kind: Kind,
    verb: str,
    path: str,
    *,
    traceparent: str | None = None,
    queued: float | None = None,
    resolve: Callable[[], str | None] | None = None,
    task: Callable[[], Any] | None = None,
) -> InboundRequest | None:
    """A request came in: it is the current one until `end`. Arguments as of `InboundRequest`.

    Returns:
        The request; ``None`` when that failed, and the door does without.
    """
    try:
        request = InboundRequest(kind, verb, path, traceparent=traceparent, queued=queued, resolve=resolve, task=task)
        request.outer = enter(request)
    except Exception:  # noqa: BLE001 - the host's request goes on
        next(_lost)
        return None
    for sink in _sinks:
        try:
            sink.begun(request)
        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
            next(_lost)
    return request


def caught(error: BaseException, request: InboundRequest | None) -> None:
    """A framework or door caught an exception: it goes to the `exception` domain, and behind the request's failure.

    Costs next to nothing while nobody watches either.
    """
    try:
        if request is not None and request.failure is None:
            request.failure = describe(error)
        hooks.handled(error)
    except Exception:  # noqa: BLE001 - a strange exception class
        next(_lost)


def answer(request: InboundRequest) -> None:
    """Its response is complete, or never will be; the first call counts."""
    if request.took is not None:
        return
    request.took = time.perf_counter() - request.began
    if request.status >= 500 and request.outcome == "ok":
        request.outcome = "error"
    for sink in _sinks:
        try:
            sink.answered(request)
        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
            next(_lost)


def fail(request: InboundRequest, error: BaseException) -> None:
    """An exception left the application. Before its response began the server answers with 500 for it."""
    if isinstance(error, Exception):
        caught(error, request)
        if request.took is None:
            request.outcome = "error"
            if not request.responding:
                request.status = 500
    elif request.took is None:
        request.outcome = "aborted"  # cancelled, GeneratorExit, the end of the program


def end(request: InboundRequest) -> None:
    """Nothing of it runs any more; the second call changes nothing."""
    if request.over:
        return
    answer(request)
    outer = request.outer
    try:
        request.end()
        leave(request, outer)
    except Exception:  # noqa: BLE001 - the host's request goes on
        request.over = True
        next(_lost)
