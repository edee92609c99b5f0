"""One connection, as the server sees it."""

from __future__ import annotations

import socket
import time
from typing import Any

from beamlens.control.errors import ConnectionLost
from beamlens.control.frames import FrameReader, frame
from beamlens.control.protocol import MOST_ANSWER, MOST_REQUEST, Question

GREETING_SECONDS = 5.0
TRANSFER_SECONDS = 10.0
IDLE_SECONDS = 600.0

_CHUNK = 65_536


class Peer:
    """Bytes in, messages out, and back; each wait has an end. Belongs to the server's thread."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        sock.setblocking(False)
        self.socket = sock
        self.greeted = False
        self.last = False
        """Whether it is to be closed once all was sent."""
        self.question: Question | None = None
        self.asked_until = 0.0
        self._reader = FrameReader(MOST_REQUEST)
        self._out = memoryview(b"")
        self._since = time.monotonic()
        self._partial_since: float | None = None

    @property
    def sending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    @property
    def until(self) -> float:
        """When it is given up, by ``time.monotonic()``, unless something happens."""
        if self._out:
            return self._since + TRANSFER_SECONDS
        if self._partial_since is not None and self.question is None:
            return self._partial_since + TRANSFER_SECONDS
        if not self.greeted:
            return self._since + GREETING_SECONDS
        return self.asked_until if self.question is not None else self._since + IDLE_SECONDS

    def receive(self) -> None:
        """Read what is there.

        Raises:
            ConnectionLost: It has closed.
            ProtocolError: It sends what nobody asked for.
        """
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionLost("it has closed") from error
        if not data:
            raise ConnectionLost("it has closed")
        self._reader.feed(data)
        if self._partial_since is None:
            self._partial_since = time.monotonic()

    def message(self) -> dict[str, Any] | None:
        """The next whole message.

        Raises:
            ProtocolError: It is none.
        """
        message = self._reader.take()
        if message is not None:
            self._since = time.monotonic()
            self._partial_since = self._since if self._reader.pending else None
        return message

    def send(self, message: dict[str, Any] | bytes) -> None:
        """Send a message, or one that is a frame already; what does not go out now waits.

        Raises:
            ConnectionLost: It has closed.
        """
        data = frame(message, MOST_ANSWER) if isinstance(message, dict) else message
        self._out = memoryview(bytes(self._out) + data)
        self._since = time.monotonic()
        self.flush()

    def flush(self) -> None:
        """Send on what waits.

        Raises:
            ConnectionLost: It has closed.
        """
        while self._out:
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return
            except OSError as error:
                raise ConnectionLost("it has closed") from error
            self._out = self._out[sent:]
        self._out = memoryview(b"")
        self._since = time.monotonic()
