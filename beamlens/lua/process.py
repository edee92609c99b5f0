"""The worker process as its owner sees it: start, speak, kill."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from beamlens.lua.channel import Channel, WorkerGone
from beamlens.lua.errors import LuaError
from beamlens.lua.interpreter import find_interpreter, library_folders

_PACKAGE = Path(__file__).absolute().parent.parent
_LAUNCH = _PACKAGE / "lua" / "worker" / "launch.py"
_REAP_SECONDS = 1.0


class WorkerProcess:
    """One worker. Used by one thread at a time; `kill` may be called by any, and more than once."""

    def __init__(self, memory_mb: int) -> None:
        """Start it; it is of use once `wait_ready` returned.

        Raises:
            LuaError: There is no interpreter to start it with, or it cannot be started.
        """
        if os.name != "posix":
            raise LuaError("runtime", f"the sandbox needs Linux or macOS, and this is {sys.platform}")
        if not _LAUNCH.is_file():
            raise LuaError("runtime", f"the sandbox cannot be started: {_LAUNCH} is no file on disk")
        self._process = _start(memory_mb)
        self.killed = False
        self._ready = False
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        if pipes[0] is None or pipes[1] is None:
            raise LuaError("runtime", "the sandbox has no pipes")
        self._channel = Channel(pipes[1].fileno(), pipes[0].fileno())
        # Also for a sandbox that nobody closed, and at the exit of the interpreter.
        self._end = weakref.finalize(self, _finish, self._process, pipes, os.getpid())
        self._owner = os.getpid()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child's copy: the worker belongs to the parent."""
        return self._owner != os.getpid()

    @property
    def alive(self) -> bool:
        """Whether it runs and is ours."""
        return not self.inherited and not self.killed and self._process.poll() is None

    def wait_ready(self, deadline: float) -> None:
        """Wait until it has confined itself and takes code; returns at once the next times.

        Raises:
            LuaError: It ended instead; says what it said last.
            WorkerGone: It was killed.
            TimeoutError: The deadline passed first.
        """
        if self._ready:
            return
        try:
            first = self.receive(deadline)
        except WorkerGone:
            if self.killed or self.inherited:
                raise
            raise LuaError("runtime", f"the sandbox did not start: {self._last_words()}") from None
        if "ready" not in first:
            raise LuaError("runtime", "the sandbox did not start: another program answered")
        self._ready = True

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """See `Channel.send`."""
        if self.inherited:
            raise WorkerGone
        self._channel.send(message, deadline)

    def receive(self, deadline: float) -> dict[str, Any]:
        """See `Channel.receive`."""
        if self.inherited:
            raise WorkerGone
        return self._channel.receive(deadline)

    def kill(self) -> None:
        """End it at once, without waiting. A forked child leaves its parent's worker alone."""
        self.killed = True
        if not self.inherited:
            try:
                self._process.kill()
            except OSError:
                pass

    def end(self) -> int | None:
        """Kill it, wait for its end, close the pipes; its return code as in `subprocess`, if it is known."""
        self.killed = True
        self._end()
        return None if self.inherited else self._process.returncode

    def _last_words(self) -> str:
        stream = self._process.stderr
        try:
            os.set_blocking(stream.fileno(), False)  # type: ignore[union-attr]
            text = (stream.read() or b"").decode("utf-8", "replace").strip()  # type: ignore[union-attr]
        except (OSError, ValueError):
            text = ""
        return text.splitlines()[-1][:300] if text else "its process ended without a word"


def _start(memory_mb: int) -> subprocess.Popen[bytes]:
    command = [find_interpreter(), "-I", "-S", "-B", str(_LAUNCH), str(memory_mb), str(_PACKAGE)]
    try:
        return subprocess.Popen(  # noqa: S603 - our own script
            command + library_folders(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # for the reason of a failed start; the worker then lets go of it
            env={},
            cwd="/",
            close_fds=True,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise LuaError("runtime", f"the sandbox cannot be started: {error}") from error


def _finish(process: subprocess.Popen[bytes], pipes: tuple[Any, ...], owner: int) -> None:
    if owner == os.getpid():
        try:
            process.kill()
            process.wait(_REAP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass  # in the kernel's hands: subprocess collects it later
    else:
        process.returncode = 0  # not ours to wait for
    for pipe in pipes:
        try:
            pipe.close()
        except OSError:
            pass
