"""The door for Django, WSGI and ASGI: put ``"beamlens.integrations.django.Middleware"`` first in ``MIDDLEWARE``."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest

from beamlens.integrations.asgi import REQUEST
from beamlens.integrations.headers import queue_seconds
from beamlens.probes import inbound, request_context
from beamlens.probes.request_context import InboundRequest
from beamlens.probes.routes import UNMATCHED, known_method

# How Django says 404, 403 and 400: no failures.
_ANSWERS = (Http404, PermissionDenied, SuspiciousOperation)


class Middleware:
    """Lets `requests` see what Django serves, by its URL patterns, and `exception` what its views raise.

    Works in synchronous and asynchronous chains. The time of a request is until the middlewares after this one have
    answered; of a streaming response, until it is closed.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_on_exception, dispatch_uid="beamlens.integrations.django")

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        if not inbound.listening():
            return self._get_response(request)
        if self._is_async:
            return self._serve_async(request)
        found, ours = _begin(request)
        if found is None:
            return self._get_response(request)
        try:
            response = self._get_response(request)
        except BaseException as error:
            _failed(found, error, ours=ours)
            raise
        _answered(found, response, request, ours=ours)
        return response

    async def _serve_async(self, request: HttpRequest) -> Any:
        found, ours = _begin(request)
        if found is None:
            return await self._get_response(request)
        try:
            response = await self._get_response(request)
        except BaseException as error:
            _failed(found, error, ours=ours)
            raise
        _answered(found, response, request, ours=ours)
        return response

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> None:
        """Django has found the view: the route is known."""
        found = _held(request).get(REQUEST)
        match = request.resolver_match
        if found is not None and match is not None:
            found.route = "/" + match.route.lstrip("^/")

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """A view raised; another middleware may answer for it."""
        found = _held(request).get(REQUEST)
        if not isinstance(error, _ANSWERS):
            inbound.caught(error, found)


def _begin(request: HttpRequest) -> tuple[InboundRequest | None, bool]:
    """The request, and whether this door made it: around Django there may be the one for WSGI or ASGI."""
    held = _held(request)
    found: InboundRequest | None = held.get(REQUEST)
    ours = found is None
    if found is None:
        meta = request.META
        found = inbound.begin(
            "http",
            known_method(request.method or ""),
            request.path,
            traceparent=meta.get("HTTP_TRACEPARENT"),
            queued=queue_seconds(meta.get("HTTP_X_REQUEST_START") or meta.get("HTTP_X_QUEUE_START")),
            task=_current_task(),
        )
        held[REQUEST] = found
    return found, ours


def _held(request: HttpRequest) -> dict[str, Any]:
    """What the servers' interface calls its request: one for all doors around it."""
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    return request.META if scope is None else scope


def _failed(found: InboundRequest, error: BaseException, *, ours: bool) -> None:
    inbound.fail(found, error)
    if ours:
        inbound.end(found)


def _answered(found: InboundRequest, response: Any, request: HttpRequest, *, ours: bool) -> None:
    if request.resolver_match is None:
        found.route = UNMATCHED
    if not ours:
        return
    found.status = response.status_code
    if not response.streaming:
        inbound.end(found)
        return
    found.responding = True
    close = response.close
    # Under ASGI, Django does not close the response of a client that has gone.
    forgotten = weakref.finalize(response, _forget, found)

    def closing() -> None:
        try:
            close()
        finally:
            forgotten.detach()
            inbound.end(found)

    response.close = closing


def _forget(found: InboundRequest) -> None:
    if found.took is None:
        found.outcome = "aborted"
    inbound.end(found)


def _on_exception(**_named: Any) -> None:
    """Django answers with 500 for an exception that came from anywhere below its handler."""
    error = sys.exc_info()[1]
    if error is not None:
        inbound.caught(error, request_context.current())


def _current_task() -> Callable[[], Any] | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a synchronous chain, in a thread of its own
        return None
    return None if task is None else weakref.ref(task)
