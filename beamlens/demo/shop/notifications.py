"""Tells customers by mail, each from a thread of its own, through the gateway's mail service."""

from __future__ import annotations

import logging
import socket
import threading
import time

log = logging.getLogger("shop.notifications")


class Notifications:
    """The mailer."""

    def __init__(self) -> None:
        self._outbox = threading.Lock()
        self._noting = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._sockets: set[socket.socket] = set()
        self._closing = False

    def send(self, gateway: tuple[str, int], order: int, timeout: float | None, seconds: float) -> None:
        thread = threading.Thread(
            target=self._deliver, args=(gateway, order, timeout, seconds), name=f"mail-{order}", daemon=True
        )
        with self._noting:  # it may have ended before it is noted
            thread.start()
            self._threads.add(thread)

    def _deliver(self, gateway: tuple[str, int], order: int, timeout: float | None, seconds: float) -> None:
        try:
            if seconds > 0:
                self._write(order, seconds)
            else:
                self._post(gateway, order, timeout)
        except OSError as error:
            if not self._closing:
                log.warning("mail for order %s was not sent: %s", order, error)
        finally:
            with self._noting:
                self._threads.discard(threading.current_thread())

    def _write(self, order: int, seconds: float) -> None:
        with self._outbox:  # fault: thread-pile-up/lock
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and not self._closing:
                time.sleep(min(0.05, seconds))

    def _post(self, gateway: tuple[str, int], order: int, timeout: float | None) -> None:
        with socket.create_connection(gateway, 1.0) as connection:
            self._sockets.add(connection)
            try:
                connection.settimeout(timeout)
                connection.sendall(f"MAIL {order}\n".encode())
                connection.recv(100)  # fault: thread-pile-up/socket
            finally:
                self._sockets.discard(connection)

    def close(self) -> None:
        self._closing = True
        for connection in list(self._sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        with self._noting:
            left = list(self._threads)
        for thread in left:
            thread.join(1.0)
