"""A call on its way to a provider, and how its waiting is ended from another thread."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Self, TypeVar

T = TypeVar("T")

_current: ContextVar[InFlight | None] = ContextVar("beamlens_in_flight", default=None)


class InFlight:
    """One HTTP call of the calling thread, while its ``with`` block lasts.

    `cut` shuts its socket down, which is safe from any thread: the descriptor stays open until the thread that reads
    from it closes it, so it cannot be somebody else's by then. Whoever waits for the answer gets a connection error at
    once. Looking up the address, connecting and the TLS handshake are not interrupted; the connection is shut down as
    soon as they are done.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._cut = False
        self.listener_error: Exception | None = None
        """What the function raised that takes the answer's pieces."""
        self._token: Token[InFlight | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._token is not None:
            _current.reset(self._token)

    @property
    def was_cut(self) -> bool:
        """Whether `cut` was called."""
        return self._cut

    def cut(self) -> None:
        """End the call; does not block, never raises, harmless when the call is over."""
        # No lock, for a finaliser may abort. Each side writes its own field first and reads the other's after.
        self._cut = True
        self._shut_down()

    def until_cut(self, tell: Callable[[T], object] | None) -> Callable[[T], object] | None:
        """`tell`, which is called no more once the call was cut: what had come by then may wait in a buffer."""
        if tell is None:
            return None

        def guarded(piece: T) -> None:
            if self._cut:
                raise ConnectionAbortedError("the call was cut")
            try:
                tell(piece)
            except Exception as error:
                self.listener_error = error
                raise

        return guarded

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of the connection: the HTTP library's ``trace`` extension calls this."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info.get("return_value")
            self._socket = None if stream is None else stream.get_extra_info("socket")
            if self._cut:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is None:
            return
        try:
            # Not the method of an SSLSocket: it takes the TLS layer away from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except (OSError, TypeError):
            pass  # closed already


def follow(request: Any) -> None:
    """Have the call in flight on this thread follow an HTTP request: a request hook of the HTTP client."""
    flight = _current.get()
    if flight is not None:
        request.extensions["trace"] = flight.trace
