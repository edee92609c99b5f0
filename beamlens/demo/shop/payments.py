"""Charges cards through the payment gateway, another process."""

from __future__ import annotations

import logging
import socket
import threading

log = logging.getLogger("shop.payments")


class PaymentError(Exception):
    """The gateway did not take the payment."""


class Payments:
    """A client of the gateway that keeps its connections."""

    def __init__(self) -> None:
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def charge(
        self, gateway: tuple[str, int], order: int, cents: int, timeout: float, *, keep: int | None, reuse: bool
    ) -> None:
        connection = self._take() if reuse else None
        if connection is None:
            connection = self._connect(gateway, timeout)
        try:
            connection.settimeout(timeout)
            connection.sendall(f"CHARGE {order} {cents}\n".encode())
            reply = connection.recv(100)  # fault: failing-dependency/silent
            if reply.startswith(b"BUSY"):
                raise PaymentError("gateway answered 503 Service Unavailable")  # fault: failing-dependency/busy
            if not reply:
                raise PaymentError("gateway closed the connection")
        except Exception:
            connection.close()
            raise
        self._keep(connection, keep)

    def _connect(self, gateway: tuple[str, int], timeout: float) -> socket.socket:
        return socket.create_connection(gateway, timeout)  # fault: failing-dependency/down descriptor-leak/sockets

    def _take(self) -> socket.socket | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: socket.socket, limit: int | None) -> None:
        with self._lock:
            if limit is None or len(self._idle) < limit:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()
