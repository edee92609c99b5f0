"""The door for any ASGI application: ``app = ASGIMiddleware(app)``."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from beamlens.integrations.headers import queue_seconds
from beamlens.probes import inbound
from beamlens.probes.request_context import InboundRequest
from beamlens.probes.routes import UNMATCHED, known_method

REQUEST = "beamlens.request"
"""Key in the scope under which the request stands: a door further in adds to it instead of counting it again."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Template = Callable[[Scope], str | None]


class ASGIMiddleware:
    """Lets `requests` see what an ASGI application serves; WebSockets are counted apart, the rest passes through.

    The time of a request is until the last part of its response was sent: what the application does after that, such
    as background tasks, is not counted. Messages pass unchanged.

    Args:
        app: The application.
        template: Answers the route's template from the scope, as far as it is known.
    """

    def __init__(self, app: App, template: Template | None = None) -> None:
        self.app = app
        self._template = template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, socket or lifespan."""
        kind = scope["type"]
        if kind not in ("http", "websocket") or not inbound.listening():
            await self.app(scope, receive, send)
            return
        outer: InboundRequest | None = scope.get(REQUEST)
        if outer is not None:
            if self._template is not None:
                outer.resolve_with(_resolver(self._template, scope))
            await self.app(scope, receive, send)
            return
        request = self._begin(scope)
        if request is None:
            await self.app(scope, receive, send)
        else:
            scope[REQUEST] = request
            await self._serve(request, scope, receive, send)

    def unmatched(self, scope: Scope) -> str:  # noqa: ARG002 - for subclasses
        """What the route of a request is called that is answered before it was routed, or not routed at all."""
        return UNMATCHED

    def _begin(self, scope: Scope) -> InboundRequest | None:
        traceparent = sent = None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                traceparent = value.decode("latin-1")
            elif name in (b"x-request-start", b"x-queue-start"):
                sent = value.decode("latin-1")
        is_http = scope["type"] == "http"
        return inbound.begin(
            "http" if is_http else "websocket",
            known_method(scope["method"]) if is_http else "WS",
            scope["path"],
            traceparent=traceparent,
            queued=queue_seconds(sent),
            resolve=None if self._template is None else _resolver(self._template, scope),
            task=_current_task(),
        )

    async def _serve(self, request: InboundRequest, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.start":
                request.responding = True
                request.status = message["status"]
                if self._template is not None and request.template() is None:
                    request.route = self.unmatched(scope)
            await send(message)
            if kind == "http.response.body" and not message.get("more_body", False):
                inbound.answer(request)

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and request.took is None:
                request.outcome = "aborted"
            return message

        try:
            await self.app(scope, receiving, sending)
        except BaseException as error:
            if request.outcome != "aborted":  # an application may well fail when its client has gone
                inbound.fail(request, error)
            raise
        finally:
            if request.kind == "http" and not request.responding and request.outcome == "ok":
                request.outcome = "error"  # it gave no answer, so the server says 500
            inbound.end(request)


def _resolver(template: Template, scope: Scope) -> Callable[[], str | None]:
    return lambda: template(scope)


def _current_task() -> Callable[[], Any] | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # another kind of event loop
        return None
    return None if task is None else weakref.ref(task)
