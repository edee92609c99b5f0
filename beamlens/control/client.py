"""One connection to a control socket."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from beamlens.control.address import Address, bindable
from beamlens.control.credentials import may_ask, peer_uid
from beamlens.control.errors import AccessRefused, Busy, ConnectionLost, NotServing, ProtocolError
from beamlens.control.frames import FrameReader, frame
from beamlens.control.protocol import LONG, MOST_ANSWER, MOST_REQUEST, MOST_SECONDS, Question, check_hello, hello
from beamlens.control.wire import error_from_wire
from beamlens_actors import AskTimeout

_GRACE = 2.0
"""Seconds after its timeout in which the server itself can say that it did not make it."""


class Connection:
    """Asks one question at a time. Thread-safe; reconnects when the server has given up an idle connection."""

    def __init__(self, address: Address, *, owner: int | None = None, timeout: float = 5.0) -> None:
        """Connect.

        Args:
            address: Where.
            owner: The user whose process it must be; by default this one's. Root's are trusted always.
            timeout: Seconds for connecting and the hello.

        Raises:
            NotServing: Nobody listens there any more.
            AccessRefused: It is another user's, or refuses this one.
            VersionMismatch: It speaks another version.
            ConnectionLost: It does not answer.
            Busy: It talks to as many as it can.
        """
        self.address = address
        self._owner = os.geteuid() if owner is None else owner
        self._timeout = timeout
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        self._reader = FrameReader(MOST_ANSWER)
        self.hello: Mapping[str, Any] = {}
        with self._lock:
            self._connect()

    def ask(self, kind: str, timeout: float = MOST_SECONDS, /, **arguments: Any) -> Any:
        """Ask, and wait for the answer.

        Args:
            kind: Of the question.
            timeout: Seconds for the answer; the server has a bound of its own.
            arguments: JSON types.

        Raises:
            AskTimeout: No answer in time.
            ConnectionLost: The process has ended.
            Exception: What the other side raised, where it is an error that both know, else `RemoteError`.
        """
        question = Question(next(self._numbers), kind, arguments, min(timeout, LONG.get(kind, MOST_SECONDS)))
        data = frame(question.message(), MOST_REQUEST)
        with self._lock:
            deadline = time.monotonic() + question.seconds + _GRACE
            self._send(data, deadline)
            try:
                message = self._receive(deadline)
            except BaseException as error:
                # A late answer, or half of one, must not be taken for that of the next question.
                self._disconnect()
                if isinstance(error, TimeoutError):
                    text = f"process {self.address.pid} did not answer {kind!r} within {question.seconds:g} s"
                    raise AskTimeout(text) from None
                raise
        if "error" in message:
            raise error_from_wire(message["error"])
        if message.get("id") != question.number or "answer" not in message:
            self.close()
            raise ProtocolError(f"process {self.address.pid} answered another question")
        return message["answer"]

    def close(self) -> None:
        """Close it; a question that waits for its answer ends. Another question would open it again."""
        waiting = self._socket
        if waiting is not None:
            with suppress(OSError):  # not connected yet, or closed meanwhile
                waiting.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._disconnect()

    # -- with the lock held ----------------------------------------------------------------------------------

    def _send(self, data: bytes, deadline: float) -> None:
        if self._socket is not None and not self._is_open():
            self._disconnect()
        fresh = self._socket is None
        if fresh:
            self._connect()
        try:
            self._write(data, deadline)
        except ConnectionLost:
            if fresh:
                raise
            self._connect()
            self._write(data, deadline)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionLost(f"the connection to process {self.address.pid} is closed")
        return self._socket

    def _is_open(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked."""
        sock = self._open()
        try:
            sock.settimeout(0.0)
            sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _connect(self) -> None:
        deadline = time.monotonic() + self._timeout
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._disconnect()
        self._socket = sock
        try:
            self._reach(sock)
            self._greet(sock, deadline)
        except BaseException:
            self._disconnect()
            raise

    def _reach(self, sock: socket.socket) -> None:
        pid = self.address.pid
        sock.settimeout(self._timeout)
        try:
            with bindable(self.address.path) as place:
                sock.connect(place)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotServing(f"process {pid} has ended, or closed its control socket") from error
        except PermissionError as error:
            raise AccessRefused(f"process {pid} belongs to another user") from error
        except BlockingIOError as error:  # its queue of connections is full
            raise Busy(f"process {pid} takes no more connections; try again") from error
        except OSError as error:
            raise ConnectionLost(f"process {pid} cannot be reached: {error}") from error

    def _greet(self, sock: socket.socket, deadline: float) -> None:
        pid, uid = self.address.pid, peer_uid(sock)
        if not may_ask(uid) and uid != self._owner:
            raise AccessRefused(f"the control socket of process {pid} is served by user {uid}, who is not its owner")
        self._reader = FrameReader(MOST_ANSWER)
        try:
            message = self._receive(deadline)
            if "error" in message:
                raise error_from_wire(message["error"])
            check_hello(message, f"process {pid}")
            self.hello = message
            self._write(frame(hello(), MOST_REQUEST), deadline)
        except TimeoutError:
            text = f"process {pid} does not answer: it is stopped, or something keeps its interpreter to itself"
            raise ConnectionLost(text) from None

    def _write(self, data: bytes, deadline: float) -> None:
        sock = self._open()
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            sock.sendall(data)
        except TimeoutError:
            raise ConnectionLost(f"process {self.address.pid} does not read") from None
        except OSError as error:
            raise ConnectionLost(f"process {self.address.pid} has closed the connection") from error

    def _receive(self, deadline: float) -> dict[str, Any]:
        sock = self._open()
        while (message := self._reader.take()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
            try:
                data = sock.recv(65_536)
            except TimeoutError:
                raise
            except OSError as error:
                raise ConnectionLost(f"process {self.address.pid} has closed the connection") from error
            if not data:
                raise ConnectionLost(f"process {self.address.pid} has closed the connection")
            self._reader.feed(data)
        return message

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
