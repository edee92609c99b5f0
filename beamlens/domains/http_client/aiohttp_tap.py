"""Listens to aiohttp's client: one call with its redirects, and the wait for its connector."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from beamlens.domains.http_client.call import CURRENT, Call, Limit, answered, begin, count_lost, finish
from beamlens.domains.http_client.patching import Alive, Method, Patch

_LEAST_WAIT = 0.001
_MISSING = object()


def _request(original: Method, alive: Alive) -> Method:
    async def _request(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        call = _begin(self, method, str_or_url, kwargs) if alive() else None
        if call is None:
            return await original(self, method, str_or_url, **kwargs)
        before = CURRENT.get()
        CURRENT.set(call)
        try:
            response = await original(self, method, str_or_url, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            CURRENT.set(before)
        _answer(call, response)
        return response

    return _request


def _begin(session: Any, method: str, where: Any, options: dict[str, Any]) -> Call | None:
    try:
        url: Any = where
        if isinstance(where, str):
            import yarl  # aiohttp's own, so it is there

            url = yarl.URL(where)
        base = getattr(session, "_base_url", None)
        if url.host is None and base is not None:
            url = base.join(url)
        call = begin("aiohttp", method.upper(), url.host or "", url.port, url.raw_path, depth=3)
        if call is not None:
            call.limit = _limit(options.get("timeout", _MISSING), getattr(session, "timeout", None))
        return call
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()
        return None


def _limit(given: Any, usual: Any) -> Limit:
    """Whether the call as a whole, or each read of it, ends by itself."""
    if isinstance(given, (int, float)):
        return "set"
    limits = given if hasattr(given, "sock_read") else usual
    if not hasattr(limits, "sock_read"):
        return "unknown"
    return "none" if limits.total is None and limits.sock_read is None else "set"


def _answer(call: Call, response: Any) -> None:
    try:
        answered(call, response.status, response, response.content_length)
        call.returned = True
        # Called at once if it has ended already. A response that is closed before its end is found by the recorder.
        response.content.on_eof(_ending(call))
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()
        finish(call)


def _ending(call: Call) -> Callable[[], None]:
    return lambda: finish(call)


def _connect(original: Method, alive: Alive) -> Method:
    async def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _current() if alive() else None
        if call is None:
            return await original(self, *args, **kwargs)
        call.stage = "pool"
        began, before = time.perf_counter(), call.connecting
        try:
            return await original(self, *args, **kwargs)
        finally:
            waited = time.perf_counter() - began - (call.connecting - before)
            if waited >= _LEAST_WAIT:
                call.pool_wait += waited
            call.stage = "wire"

    return connect


def _create_connection(original: Method, alive: Alive) -> Method:
    async def _create_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _current() if alive() else None
        if call is None:
            return await original(self, *args, **kwargs)
        call.stage = "wire"
        began = time.perf_counter()
        try:
            return await original(self, *args, **kwargs)
        finally:
            call.connecting += time.perf_counter() - began

    return _create_connection


def _current() -> Call | None:
    call = CURRENT.get()
    return None if call is None or call.over or call.library != "aiohttp" else call


PATCHES = (
    Patch("aiohttp.client", "ClientSession._request", _request),
    Patch("aiohttp.connector", "BaseConnector.connect", _connect),
    Patch("aiohttp.connector", "TCPConnector._create_connection", _create_connection),
)
