"""Listens to httpx at its transports, where each exchange passes once, redirects one by one."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from beamlens.domains.http_client.call import Call, answered, begin, count_lost, finish
from beamlens.domains.http_client.patching import Alive, Method, Patch

_LEAST_WAIT = 0.001
_CONNECTING = ("connection.", "proxy.", "socks")
_CONNECTS = frozenset({"connection.connect_tcp.started", "connection.connect_unix_socket.started"})


def _begin(request: Any) -> Call | None:
    try:
        url = request.url
        call = begin("httpx", request.method, url.host, url.port, url.path, depth=3)
        if call is not None:
            call.stage = "pool"
            limits = request.extensions.get("timeout")
            call.limit = "none" if not limits or limits.get("read") is None else "set"
        return call
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()
        return None


class _Progress:
    """What httpcore tells of an exchange, through its documented extension `trace`."""

    __slots__ = ("_call", "_connects")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._connects = 0

    def hear(self, name: str) -> None:
        """The first word of a connection ends the wait for one; each further attempt to connect is a retry."""
        call = self._call
        if call.stage == "pool":
            waited = time.perf_counter() - call.began
            call.pool_wait = waited if waited >= _LEAST_WAIT else 0.0
            call.stage = "wire"
        if name in _CONNECTS:
            self._connects += 1
            if self._connects > 1:
                call.retries += 1


def _tracing(extensions: dict[str, Any], call: Call) -> dict[str, Any]:
    hear, before = _Progress(call).hear, extensions.get("trace")

    def trace(name: str, info: Any) -> Any:
        hear(name)
        if before is not None:
            return before(name, info)
        if not name.startswith(_CONNECTING):
            ours.pop("trace", None)  # all is heard; each further word would cost 3 us
        return None

    ours = {**extensions, "trace": trace}
    return ours


def _tracing_async(extensions: dict[str, Any], call: Call) -> dict[str, Any]:
    hear = _Progress(call).hear
    before: Callable[[str, Any], Awaitable[object]] | None = extensions.get("trace")

    async def trace(name: str, info: Any) -> None:
        hear(name)
        if before is not None:
            await before(name, info)
        elif not name.startswith(_CONNECTING):
            ours.pop("trace", None)

    ours = {**extensions, "trace": trace}
    return ours


def _handle_request(original: Method, alive: Alive) -> Method:
    def handle_request(self: Any, request: Any) -> Any:
        call = _begin(request) if alive() else None
        if call is None:
            return original(self, request)
        extensions = request.extensions
        request.extensions = _tracing(extensions, call)
        try:
            response = original(self, request)
        except BaseException as error:
            _failed(call, error)
            raise
        finally:
            request.extensions = extensions
        return _answer(call, response, _told)

    return handle_request


def _handle_async_request(original: Method, alive: Alive) -> Method:
    async def handle_async_request(self: Any, request: Any) -> Any:
        call = _begin(request) if alive() else None
        if call is None:
            return await original(self, request)
        extensions = request.extensions
        request.extensions = _tracing_async(extensions, call)
        try:
            response = await original(self, request)
        except BaseException as error:
            _failed(call, error)
            raise
        finally:
            request.extensions = extensions
        return _answer(call, response, _told_async)

    return handle_async_request


def _failed(call: Call, error: BaseException) -> None:
    if call.stage == "pool":
        call.pool_wait = call.age()
    finish(call, error)


def _answer(call: Call, response: Any, stream: Callable[[], type[Any]]) -> Any:
    try:
        answered(call, response.status_code, response)
        call.received = 0
        response.stream = stream()(response.stream, call)
        call.returned = True
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()
        finish(call)
    return response


@functools.cache
def _told() -> type[Any]:
    """A stream that tells when it ends; its base is httpx's, which is imported whenever one is needed."""

    class Told(sys.modules["httpx"].SyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Call) -> None:
            self._inner, self._call = inner, call

        def __iter__(self) -> Iterator[bytes]:
            call = self._call
            try:
                for part in self._inner:
                    call.received = (call.received or 0) + len(part)
                    yield part
            except GeneratorExit:  # not read further
                raise
            except BaseException as error:
                finish(call, error)
                raise

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                finish(self._call)

    return Told


@functools.cache
def _told_async() -> type[Any]:
    """The same for asyncio and trio."""

    class ToldAsync(sys.modules["httpx"].AsyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Call) -> None:
            self._inner, self._call = inner, call

        async def __aiter__(self) -> AsyncIterator[bytes]:
            call = self._call
            try:
                async for part in self._inner:
                    call.received = (call.received or 0) + len(part)
                    yield part
            except GeneratorExit:  # not read further
                raise
            except BaseException as error:
                finish(call, error)
                raise

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                finish(self._call)

    return ToldAsync


PATCHES = (
    Patch("httpx", "HTTPTransport.handle_request", _handle_request),
    Patch("httpx", "AsyncHTTPTransport.handle_async_request", _handle_async_request),
)
