"""How a call failed, in one word: from the exception and what caused it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import ssl

KINDS = ("refused", "dns", "tls", "timeout", "reset", "pool", "5xx", "other")
"""What counts as a failure of the other side or of the way there. 4xx, and calls given up, are told apart."""
CANCELLED = "cancelled"

_MOST_CHAIN = 8
# By name where the libraries leave no trace of the system's error, and before it where they say more.
_NAMES = {
    "PoolTimeout": "pool", "EmptyPoolError": "pool", "FullPoolError": "pool", "ConnectionTimeoutError": "timeout",
    "NameResolutionError": "dns", "ClientConnectorDNSError": "dns",
    "ClientConnectorCertificateError": "tls", "ClientConnectorSSLError": "tls", "ClientSSLError": "tls",
    "SSLError": "tls",
    "ServerDisconnectedError": "reset", "RemoteProtocolError": "reset", "ReadError": "reset", "WriteError": "reset",
    "RemoteDisconnected": "reset", "IncompleteRead": "reset", "ClientPayloadError": "reset", "ProtocolError": "reset",
}  # fmt: skip
_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
_TYPES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "dns"),
    (ConnectionRefusedError, "refused"),
    (ssl.SSLError, "tls"),
    (TimeoutError, "timeout"),
    (ConnectionError, "reset"),
)
# The most telling first: a refused connection is a reset one to most libraries.
_RANK = {kind: rank for rank, kind in enumerate(("pool", "dns", "tls", "refused", "timeout", "reset"))}


def kind_of(error: BaseException) -> str:
    """One of `KINDS`, or `CANCELLED`; about 5 us, on the host's thread. Runs no code of the exception's own."""
    if isinstance(error, _CANCELLED):
        return CANCELLED
    if not isinstance(error, Exception) and not type(error).__name__.endswith("Timeout"):
        return CANCELLED  # as trio and gevent give up; gevent's Timeout is none of these
    found = [kind for one in _chain(error) if (kind := _kind(one)) is not None]
    return min(found, key=_RANK.__getitem__, default="other")


def _chain(error: BaseException) -> list[BaseException]:
    left: list[BaseException] = [error]
    found: list[BaseException] = []
    while left and len(found) < _MOST_CHAIN:
        one = left.pop(0)
        if any(one is other for other in found):
            continue
        found.append(one)
        # What was being handled only counts where nobody said what the cause is.
        cause = one.__cause__  # "or" would ask whether it is true, which may be the program's code
        if cause is None and not one.__suppress_context__:
            cause = one.__context__
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        reason = one.__dict__.get("reason")  # urllib3's and urllib's own word for the cause
        left += [each for each in (cause, reason, *inner) if isinstance(each, BaseException)]
        left += [each for each in one.args[:2] if isinstance(each, BaseException)]
    return found


def _kind(error: BaseException) -> str | None:
    for cls in type(error).__mro__:
        named = _NAMES.get(cls.__name__)
        if named is not None:
            return named
    for cls, kind in _TYPES:
        if isinstance(error, cls):
            return kind
    return "timeout" if type(error).__name__.endswith("Timeout") else None
