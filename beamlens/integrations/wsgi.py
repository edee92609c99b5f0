"""The door for any WSGI application: ``app = WSGIMiddleware(app)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from beamlens.integrations.headers import queue_seconds
from beamlens.probes import inbound
from beamlens.probes.request_context import InboundRequest
from beamlens.probes.routes import known_method

REQUEST = "beamlens.request"
"""Key in ``environ`` under which the request stands: a door further in adds to it instead of counting it again."""

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WSGIMiddleware:
    """Lets `requests` see what a WSGI application serves.

    The time of a request is until its body was consumed. Status, headers, body and ``exc_info`` pass unchanged, a list
    stays a list, and ``close()`` of the body is called exactly when the server calls it.

    Args:
        app: The application.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if not inbound.listening() or REQUEST in environ:
            return self.app(environ, start_response)
        request = inbound.begin(
            "http",
            known_method(environ.get("REQUEST_METHOD", "GET")),
            environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            traceparent=environ.get("HTTP_TRACEPARENT"),
            queued=queue_seconds(environ.get("HTTP_X_REQUEST_START") or environ.get("HTTP_X_QUEUE_START")),
        )
        if request is None:
            return self.app(environ, start_response)
        environ[REQUEST] = request

        def starting(status: str, headers: list[tuple[str, str]], *more: Any, **named: Any) -> Any:
            request.responding = True
            request.status = _code(status)
            return start_response(status, headers, *more, **named)

        try:
            body = self.app(environ, starting)
        except BaseException as error:
            inbound.fail(request, error)
            inbound.end(request)
            raise
        if type(body) in _WHOLE or isinstance(body, environ.get("wsgi.file_wrapper", ())):
            # All of it is there, or the server sends it by itself: wrapped, it would be sent more slowly.
            inbound.end(request)
            return body
        return _SizedBody(body, request) if hasattr(body, "__len__") else _Body(body, request)


_WHOLE = frozenset({list, tuple})


class _Body:
    """A response's body: ends the request when it was consumed and closed, or forgotten."""

    __slots__ = ("_body", "_next", "_request")

    def __init__(self, body: Iterable[bytes], request: InboundRequest) -> None:
        self._body = body
        self._request = request
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        request = self._request
        try:
            if self._next is None:
                self._next = iter(self._body).__next__
            return self._next()
        except StopIteration:
            inbound.answer(request)
            raise
        except BaseException as error:
            inbound.fail(request, error)
            inbound.answer(request)
            raise

    def close(self) -> None:
        """Close the body, if it can be closed."""
        request = self._request
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            inbound.fail(request, error)
            raise
        finally:
            if request.took is None and request.outcome == "ok":
                request.outcome = "aborted"  # closed before its end: the client went
            inbound.end(request)

    def __del__(self) -> None:
        try:
            inbound.end(self._request)
        except Exception:  # noqa: BLE001 - the interpreter ends
            pass


class _SizedBody(_Body):
    """One whose length the server may ask for, to tell the content's length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


def _code(status: str) -> int:
    try:
        return int(status[:3])
    except (TypeError, ValueError):
        return 0
