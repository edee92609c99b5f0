"""Listens to urllib3, and so to requests: one call with all its retries, and the wait for its pool."""

from __future__ import annotations

import threading
import time
from typing import Any

from beamlens.domains.http_client.call import CURRENT, Call, answered, begin, count_lost, finish
from beamlens.domains.http_client.patching import Alive, Method, Patch
from beamlens.domains.http_client.stdlib import target

_LEAST_WAIT = 0.001


def _urlopen(original: Method, alive: Alive) -> Method:
    def urlopen(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if not alive():
            return original(self, method, url, *args, **kwargs)
        call = _begin(self, method, url, kwargs["retries"] if "retries" in kwargs else next(iter(args[2:3]), None))
        if call is None:
            return original(self, method, url, *args, **kwargs)
        before = CURRENT.get()
        CURRENT.set(call)
        try:
            response = original(self, method, url, *args, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            CURRENT.set(before)
        _end(call, response)
        return response

    return urlopen


def _begin(pool: Any, method: str, url: str, policy: Any) -> Call | None:
    try:
        outer = CURRENT.get()
        if outer is not None and not outer.over and outer.library == "urllib3" and outer.thread == _ident():
            # urllib3 calls itself for the next try, and to follow a redirect.
            if not _is_redirect(policy):
                outer.retries += 1
            return None
        host, port, path = target(pool.host, pool.port, url)
        return begin("urllib3", method, host, port, path, depth=3)
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()
        return None


def _is_redirect(policy: Any) -> bool:
    """Whether the last thing that urllib3's `Retry` has noted of a call is that it was sent elsewhere."""
    history: Any = getattr(policy, "history", ())
    return bool(history) and history[-1].redirect_location is not None


_ident = threading.get_ident


def _end(call: Call, response: Any) -> None:
    try:
        if call.response is None and call.first_byte is None:
            answered(call, int(getattr(response, "status", 0)))
            call.drained = True
        call.returned = True
        if call.drained:
            finish(call)
    except Exception:  # noqa: BLE001 - the host's call must not fail
        count_lost()


def _get_conn(original: Method, alive: Alive) -> Method:
    def _get_conn(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = CURRENT.get() if alive() else None
        if call is None or call.over:
            return original(self, *args, **kwargs)
        call.stage = "pool"
        began = time.perf_counter()
        try:
            return original(self, *args, **kwargs)
        finally:
            waited = time.perf_counter() - began
            if waited >= _LEAST_WAIT:
                call.pool_wait += waited
            call.stage = "wire"

    return _get_conn


PATCHES = (
    Patch("urllib3.connectionpool", "HTTPConnectionPool.urlopen", _urlopen),
    Patch("urllib3.connectionpool", "HTTPConnectionPool._get_conn", _get_conn),
)
