"""`Sandbox`: Lua that somebody else wrote, in a process of its own, with read-only functions to call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from beamlens.lua.errors import LuaError
from beamlens.lua.hints import hint
from beamlens.lua.process import WorkerGone, WorkerProcess
from beamlens_actors import AbortSignal, Timer, clock

MOST_CODE = 16_000


class Sandbox:
    """Runs Lua 5.4 in a worker process (design D5).

    The worker has no files, no network to speak of, an empty environment, bounded memory, and is killed at the
    deadline. It starts at the first run, is used again, and ends when idle. Functions are called in this process, on
    the thread that called `run`. Usable after any failure; runs of several threads queue.
    """

    def __init__(
        self,
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        timeout: float = 5.0,
        memory_mb: int = 64,
        idle_timeout: float = 60.0,
    ) -> None:
        """Describe the sandbox; nothing is started.

        Args:
            callbacks: Lua name to function. It gets positional JSON values and returns one.
            timeout: Seconds for one run, starting the worker and callbacks included.
            memory_mb: What Lua may use.
            idle_timeout: Seconds after the last run until the worker ends.
        """
        self._callbacks = dict(callbacks or {})
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._idle_timeout = idle_timeout
        self._turn = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._idle: Timer | None = None
        self._last_used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def run(self, code: str, *, abort: AbortSignal | None = None) -> Any:
        """Run code and return what it returns, as a JSON value; an empty table is ``[]``.

        Args:
            code: Lua source, at most 16 000 characters.
            abort: Ends it early.

        Raises:
            LuaError: See its ``kind``.
            Aborted: The signal fired.
        """
        if len(code) > MOST_CODE:
            raise LuaError("syntax", f"the code has {len(code)} characters; at most {MOST_CODE} are allowed")
        deadline = time.monotonic() + self._timeout
        abort = abort or AbortSignal()
        abort.raise_if_aborted()
        if not self._turn.acquire(timeout=self._timeout):
            raise LuaError("timeout", f"other runs of this sandbox took the {self._timeout:g} s")
        try:
            return self._run(code, deadline, abort)
        finally:
            self._last_used = time.monotonic()
            self._turn.release()
            self._end_when_idle()

    def close(self) -> None:
        """End the worker. The sandbox may be used again: then it starts another."""
        if self._idle is not None:
            self._idle.cancel()
        worker = self._worker
        if worker is not None:
            worker.kill()  # a run in progress sees its end and returns
        with self._turn:
            self._drop()

    def _run(self, code: str, deadline: float, abort: AbortSignal) -> Any:
        worker = self._ready()
        take_back = abort.on_abort(worker.kill)
        try:
            worker.send({"run": code.encode("utf-8", "replace"), "names": list(self._callbacks)}, deadline)
            while "call" in (message := worker.receive(deadline)):
                worker.send(self._call(message["call"], message["args"]), deadline)
        except TimeoutError:
            self._drop()
            raise LuaError("timeout", f"the code did not end within {self._timeout:g} s and was killed") from None
        except WorkerGone:
            code_of_end = self._drop()
            abort.raise_if_aborted()
            raise LuaError("runtime", f"the sandbox process ended (exit code {code_of_end})") from None
        except BaseException:
            self._drop()  # what it would say next belongs to this run
            raise
        finally:
            take_back()
        if "error" in message:
            text = message["message"]
            more = hint(text, code, self._callbacks)
            raise LuaError(message["error"], f"{text} ({more})" if more else text, message.get("line"))
        return message["ok"]

    def _call(self, name: str, args: list[Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = {"ret": self._callbacks[name](*args)}
            import msgpack

            pack: Any = msgpack.packb
            if len(pack(answer, default=str)) > 1_000_000:
                return {"err": "the result is larger than 1 MB; ask for less"}
        except Exception as error:  # noqa: BLE001 - only its type may be seen inside
            return {"err": type(error).__name__}
        return answer

    def _ready(self) -> WorkerProcess:
        if self._worker is None or not self._worker.alive:
            self._drop()
            self._worker = WorkerProcess(self._memory_mb)
        return self._worker

    def _drop(self) -> int | None:
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        worker.kill()
        return worker.reap()

    def _end_when_idle(self) -> None:
        if self._worker is not None and (self._idle is None or not self._idle.active):
            self._idle = clock.call_later(self._idle_timeout, self._check_idle)

    def _check_idle(self) -> None:
        if not self._turn.acquire(blocking=False):
            return  # in use; its end sets the next check
        try:
            left = self._last_used + self._idle_timeout - time.monotonic()
            if left <= 0.05:
                self._drop()
            else:
                self._idle = clock.call_later(left, self._check_idle)
        finally:
            self._turn.release()
