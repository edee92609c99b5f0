"""Messages over two pipes: four bytes of length, then msgpack."""

from __future__ import annotations

import os
import select
import time
from typing import Any

MOST_MESSAGE = 4_000_000


class WorkerGone(Exception):  # noqa: N818 - an end, not always an error
    """The other side ended, or no longer speaks the language."""


class Channel:
    """One side of the conversation, waiting no longer than a deadline of ``time.monotonic()``."""

    def __init__(self, reading: int, writing: int) -> None:
        """Speak over two descriptors, which stay the caller's; they become non-blocking here."""
        import msgpack

        self._pack: Any = msgpack.packb
        self._unpack: Any = msgpack.unpackb
        self._reading, self._writing = reading, writing
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Send a message.

        Raises:
            WorkerGone: The other side ended.
            TimeoutError: It does not read.
        """
        body = self._pack(message, unicode_errors="replace")
        data = memoryview(len(body).to_bytes(4, "big") + body)
        while data:
            try:
                data = data[os.write(self._writing, data) :]
            except BlockingIOError:
                _wait(self._writing, select.POLLOUT, deadline)
            except OSError as error:
                raise WorkerGone from error

    def receive(self, deadline: float) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            WorkerGone: The other side ended, or sent what is no message: it is not to be trusted.
            TimeoutError: The deadline passed first.
        """
        size = int.from_bytes(self._read(4, deadline), "big")
        if size > MOST_MESSAGE:
            raise WorkerGone
        body = self._read(size, deadline)
        try:
            message = self._unpack(body, strict_map_key=False)
        except (ValueError, TypeError, RecursionError) as error:  # TypeError: a list or a map as a key
            raise WorkerGone from error
        if not isinstance(message, dict):
            raise WorkerGone
        return message

    def _read(self, size: int, deadline: float) -> bytes:
        parts = []
        while size > 0:
            try:
                part = os.read(self._reading, min(size, 1 << 16))
            except BlockingIOError:
                _wait(self._reading, select.POLLIN, deadline)
                continue
            except OSError as error:
                raise WorkerGone from error
            if not part:
                raise WorkerGone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(descriptor, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poller.poll(left * 1000):
        raise TimeoutError
