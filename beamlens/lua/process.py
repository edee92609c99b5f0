"""The worker process as its owner sees it: start, exchange messages by a deadline, kill."""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from beamlens.lua.errors import LuaError

_WORKER = Path(__file__).with_name("worker.py")
_MOST_MESSAGE = 2_000_000


class WorkerGone(Exception):  # noqa: N818 - an end, not always an error
    """The worker ended."""


class WorkerProcess:
    """One worker. Used by one thread at a time; `kill` may be called by any."""

    def __init__(self, memory_mb: int) -> None:
        """Start it.

        Raises:
            LuaError: There is no interpreter to start it with, or it cannot be started.
        """
        import msgpack

        self._msgpack: Any = msgpack
        self._pid = os.getpid()
        if not sys.executable:
            raise LuaError("runtime", "the sandbox needs a Python executable to start, and sys.executable is empty")
        command = [sys.executable, "-I", "-S", str(_WORKER), str(memory_mb), *_folders()]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/" if os.name == "posix" else None,
                close_fds=True,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise LuaError("runtime", f"the sandbox cannot be started: {error}") from error
        if self._process.stdin is None or self._process.stdout is None:
            raise LuaError("runtime", "the sandbox has no pipes")
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child's copy: the worker belongs to the parent."""
        return self._pid != os.getpid()

    @property
    def alive(self) -> bool:
        """Whether it runs and is ours."""
        return not self.inherited and self._process.poll() is None

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Send a message.

        Raises:
            WorkerGone: It ended.
            TimeoutError: It does not read.
        """
        body = self._msgpack.packb(message, default=str)
        if len(body) > _MOST_MESSAGE:
            raise ValueError("too large")
        data = memoryview(len(body).to_bytes(4, "big") + body)
        descriptor = self._stdin.fileno()
        while data:
            self._wait([], [descriptor], deadline)
            try:
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
            except OSError as error:
                raise WorkerGone from error

    def receive(self, deadline: float) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            WorkerGone: It ended.
            TimeoutError: The deadline, of ``time.monotonic()``, passed first.
        """
        size = int.from_bytes(self._read(4, deadline), "big")
        if size > 2 * _MOST_MESSAGE:
            raise WorkerGone
        message: dict[str, Any] = self._msgpack.unpackb(self._read(size, deadline), strict_map_key=False)
        return message

    def kill(self) -> None:
        """End it at once. The parent's worker is left alone by a forked child."""
        if self.inherited:
            self._process.returncode = 0  # not ours to wait for
        else:
            try:
                self._process.kill()
            except OSError:
                pass

    def reap(self) -> int | None:
        """Wait for its end after `kill`, close the pipes; its return code."""
        for stream in (self._stdin, self._stdout):
            try:
                stream.close()
            except OSError:
                pass
        return None if self.inherited else self._process.wait()

    def _read(self, size: int, deadline: float) -> bytes:
        parts = []
        descriptor = self._stdout.fileno()
        while size > 0:
            self._wait([descriptor], [], deadline)
            part = os.read(descriptor, min(size, 1 << 16))
            if not part:
                raise WorkerGone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, reading: list[int], writing: list[int], deadline: float) -> None:
        poller = select.poll()
        for descriptor in reading:
            poller.register(descriptor, select.POLLIN | select.POLLHUP)
        for descriptor in writing:
            poller.register(descriptor, select.POLLOUT | select.POLLERR)
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise TimeoutError


def _folders() -> list[str]:
    """Where lupa and msgpack are: a bare interpreter does not know."""
    found = []
    for name in ("lupa", "msgpack"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise LuaError("runtime", f"the sandbox needs the package {name}")
        found.append(str(Path(spec.origin).parent.parent))
    return list(dict.fromkeys(found))
