"""The door for FastAPI and Starlette: ``init_app(app)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp

from beamlens.integrations.asgi import REQUEST, ASGIMiddleware, Scope
from beamlens.probes import inbound
from beamlens.probes.routes import UNMATCHED, normalise

_MARK = "__beamlens_door__"


def init_app(app: Starlette) -> None:
    """Let `requests` see what an application serves, by its route templates, and `exception` what its handlers catch.

    Call it before the application serves, and after other middleware is added, so that their time is counted too.

    Raises:
        RuntimeError: The application serves already (Starlette's own refusal).
    """
    app.add_middleware(_Door)
    build = app.build_middleware_stack

    def build_middleware_stack() -> ASGIApp:
        # Once, at the first request: all handlers are there by now.
        for key, handler in list(app.exception_handlers.items()):
            if isinstance(key, type) and issubclass(key, Exception) and not issubclass(key, HTTPException):
                app.exception_handlers[key] = _telling(handler)
        return build()

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]


class _Door(ASGIMiddleware):
    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, template)

    def unmatched(self, scope: Scope) -> str:
        """What is mounted and has no routes, such as files, goes by where it is mounted."""
        mounted = _mounted(scope)
        return f"{mounted}/*" if mounted else UNMATCHED


def template(scope: Scope) -> str | None:
    """The route's template, mounts included; ``None`` while the request is not routed.

    What a mount has matched is known as the text that it matched, so its parameters become ``{id}``.
    """
    context = scope.get("fastapi")
    found = context.get("effective_route_context") if isinstance(context, dict) else None
    path = getattr(found, "path_format", None) or getattr(found, "path", None)
    if not path:
        route = scope.get("route")
        path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(path, str) or isinstance(scope.get("route"), Mount):
        return None
    return _mounted(scope) + path


def _mounted(scope: Scope) -> str:
    if "app_root_path" not in scope:
        return ""
    matched = scope["root_path"][len(scope["app_root_path"]) :]
    return normalise(matched) if matched else ""


def _telling(handler: Callable[..., Any]) -> Callable[..., Any]:
    if getattr(handler, _MARK, False) or handler.__module__.startswith(("fastapi.", "starlette.")):
        return handler  # FastAPI's own answer 422 to what a client got wrong

    @functools.wraps(handler)
    async def awaited(request: Any, error: Exception) -> Any:
        _tell(request, error)
        return await handler(request, error)

    @functools.wraps(handler)
    def called(request: Any, error: Exception) -> Any:
        _tell(request, error)
        return handler(request, error)

    # Starlette asks whether it is a coroutine function: another kind would run in another place.
    told: Callable[..., Any] = awaited if inspect.iscoroutinefunction(handler) else called
    vars(told)[_MARK] = True
    return told


def _tell(request: Any, error: Exception) -> None:
    inbound.caught(error, request.scope.get(REQUEST))
