"""A question to the server that is under way, and how it is cut off when the server hangs."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from beamlens_actors import clock


class Question:
    """One question, asked on a thread of its own.

    Attributes:
        over: Set when its thread is done with it.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._began = clock.monotonic()
        self._change = threading.Lock()
        self._line: socket.socket | None = None

    def age(self) -> float:
        """Seconds since it was asked."""
        return clock.monotonic() - self._began

    def connected(self, driver: Any) -> None:
        """It has a connection.

        Args:
            driver: The driver's connection. Its socket is duplicated: its number alone may be another one's when it is
                needed. A driver that tells none cannot be cut off.
        """
        try:
            line = socket.socket(fileno=os.dup(driver.fileno()))
        except Exception:  # noqa: BLE001 - a driver of any kind
            return
        with self._change:
            self._line = line

    def ended(self) -> None:
        """It needs its connection no more."""
        with self._change:
            line, self._line = self._line, None
        if line is not None:
            line.close()

    def cut(self) -> None:
        """End the connection under it: a server that hangs ends no statement, whatever its timeout."""
        with self._change:
            if self._line is not None:
                try:
                    self._line.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was faster
                    pass
