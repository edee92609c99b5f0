"""`Sandbox`: Lua that somebody else wrote, in a process of its own, with read-only functions to call."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, get_args

from beamlens.errors import ConfigError
from beamlens.lua.channel import WorkerGone
from beamlens.lua.errors import LuaError, LuaErrorKind
from beamlens.lua.hints import KEYWORDS, hint
from beamlens.lua.plain import NotPlain, plain
from beamlens.lua.process import WorkerProcess
from beamlens.lua.slot import Slot, Ticket
from beamlens_actors import AbortSignal

MOST_CODE = 16_000
_MOST_CALLS = 1_000
_MOST_MESSAGE = 2_000
_KINDS: dict[Any, LuaErrorKind] = {kind: kind for kind in get_args(LuaErrorKind)}
_ENDS: dict[str, tuple[LuaErrorKind, str]] = {
    "SIGABRT": ("memory", "not enough memory"),  # Lua's own way out when it cannot allocate at all
    "SIGALRM": ("timeout", "the code did not end in time"),
    "SIGXCPU": ("timeout", "the code did not end in time"),
}


class Sandbox:
    """Runs Lua 5.4 in a worker process (design D5).

    The worker has no files, no network, an empty environment, bounded memory, and is killed at the deadline.
    It starts at the first run, is used again, and ends when idle. Functions are called in this process, on the
    thread that called `run`. Usable after any failure; runs of several threads queue.
    """

    def __init__(
        self,
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        timeout: float = 5.0,
        memory_mb: int = 64,
        idle_timeout: float = 60.0,
        callback_cpu: float = 1.0,
    ) -> None:
        """Describe the sandbox; nothing is started.

        Args:
            callbacks: Lua name to function. It gets positional JSON values and returns one; what it raises
                reaches Lua as the name of its type.
            timeout: Seconds for one run: waiting for its turn, starting the worker and callbacks included.
            memory_mb: Megabytes that Lua may use, results of callbacks included.
            idle_timeout: Seconds after the last run until the worker ends.
            callback_cpu: Seconds of this process's processor time that the callbacks of one run may use, copying
                what they return included. Further calls fail; one that is under way is not interrupted.

        Raises:
            ConfigError: A name that Lua cannot call, or a number out of range.
        """
        for name in callbacks or ():
            if not (name.isascii() and name.isidentifier()) or name in KEYWORDS:
                raise ConfigError(f"{name!r} cannot be the name of a Lua function", field="callbacks")
        if not 0 < timeout <= 3600:
            raise ConfigError(f"timeout must be above 0 and at most 3600 seconds, not {timeout!r}", field="timeout")
        if not 1 <= memory_mb <= 4096:
            raise ConfigError(f"memory_mb must be 1 to 4096, not {memory_mb!r}", field="memory_mb")
        if not 0 < callback_cpu <= 3600:
            raise ConfigError(
                f"callback_cpu must be above 0 and at most 3600 seconds, not {callback_cpu!r}", field="callback_cpu"
            )
        self._callbacks = dict(callbacks or {})
        self._timeout = timeout
        self._callback_cpu = callback_cpu
        self._slot = Slot(memory_mb, idle_timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def run(self, code: str, *, abort: AbortSignal | None = None) -> Any:
        """Run code and return what it returns, as a JSON value.

        An empty table is ``[]``, several values are a list, holes in a list are ``None``, and so are infinity
        and not-a-number. At most 64 KB of text, 5000 values, 8 tables deep.

        Args:
            code: Lua source, at most 16 000 bytes.
            abort: Ends it early.

        Raises:
            LuaError: See its ``kind``.
            Aborted: The signal fired.
        """
        source = code.encode("utf-8", "replace")
        if len(source) > MOST_CODE:
            raise LuaError("syntax", f"the code has {len(source)} bytes; at most {MOST_CODE} are allowed")
        deadline = time.monotonic() + self._timeout
        abort = abort or AbortSignal()
        abort.raise_if_aborted()
        ticket = self._slot.enter(deadline, abort)
        take_back = abort.on_abort(lambda: self._slot.stop(ticket))
        try:
            run = _Run(self._slot, ticket, self._callbacks, self._callback_cpu, deadline)
            return run.result(code, source, abort)
        finally:
            take_back()
            self._slot.leave(ticket)

    def close(self) -> None:
        """End the worker, and with it a run in progress; does not wait for callbacks. May be repeated.

        The sandbox may be used again: then it starts another worker.
        """
        self._slot.close()


class _Run:
    """One run, from the code to its value."""

    def __init__(
        self,
        slot: Slot,
        ticket: Ticket,
        callbacks: Mapping[str, Callable[..., Any]],
        callback_cpu: float,
        deadline: float,
    ) -> None:
        self._slot = slot
        self._ticket = ticket
        self._callbacks = callbacks
        self._callback_cpu = callback_cpu
        self._deadline = deadline
        self._began = time.monotonic()
        self._calls = 0
        self._spent: dict[str, float] = {}
        self._cpu = 0.0

    def result(self, code: str, source: bytes, abort: AbortSignal) -> Any:
        try:
            answer = self._converse(source)
        except TimeoutError:
            self._slot.drop(self._ticket)
            raise LuaError("timeout", f"the code did not end in time and was killed{self._blame(code)}") from None
        except WorkerGone:
            end = self._slot.drop(self._ticket)
            abort.raise_if_aborted()
            raise self._ended(end) from None
        except BaseException:
            self._slot.drop(self._ticket)  # what it would say next belongs to this run
            raise
        if "error" in answer:
            raise self._error(answer, code)
        try:
            return plain(answer.get("ok"))
        except NotPlain as reason:
            raise LuaError("result", str(reason)) from None

    def _converse(self, source: bytes) -> dict[str, Any]:
        worker = self._slot.worker(self._ticket, self._deadline)
        left = max(0.0, self._deadline - time.monotonic())
        worker.send({"run": source, "names": list(self._callbacks), "seconds": left}, self._deadline)
        while "call" in (message := worker.receive(self._deadline)):
            self._answer(worker, message)
        return message

    def _answer(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        name, arguments = message["call"], message.get("args")
        self._calls += 1
        known = isinstance(name, str) and name in self._callbacks
        if not known or not isinstance(arguments, list) or self._calls > _MOST_CALLS:
            raise WorkerGone  # it was taken over: our own worker asks for nothing else
        began, cpu_began = time.monotonic(), time.thread_time()
        answer = self._called(name, arguments)
        self._spent[name] = self._spent.get(name, 0.0) + time.monotonic() - began
        if time.monotonic() > self._deadline:
            raise TimeoutError  # or chance would decide: the code may end before the host looks at the time
        worker.send(answer, self._deadline)
        self._cpu += time.thread_time() - cpu_began

    def _called(self, name: str, arguments: list[Any]) -> dict[str, Any]:
        if self._cpu > self._callback_cpu:
            return {"err": f"functions used more than {self._callback_cpu:g} s of processor time in one run"}
        try:
            return {"ret": plain(self._callbacks[name](*arguments))}
        except NotPlain as reason:
            return {"err": str(reason)}
        except Exception as error:  # noqa: BLE001 - only its type may be seen inside
            return {"err": type(error).__name__}

    def _error(self, answer: dict[str, Any], code: str) -> LuaError:
        # As our own worker sends them; one that was taken over may send anything.
        kind, text, line = str(answer["error"]), str(answer.get("message"))[:_MOST_MESSAGE], answer.get("line")
        more = hint(text, code, self._callbacks)
        if kind == "timeout":
            text += self._blame(code)
        if line is None and kind == "callback":
            line = _only_line(code, text.partition(":")[0])
        text = f"{text} ({more})" if more else text
        return LuaError(_KINDS.get(kind, "runtime"), text, line if type(line) is int else None)

    def _ended(self, code: int | None) -> LuaError:
        if self._ticket.closed:
            return LuaError("runtime", "the sandbox was closed while the code ran")
        if code is None or code >= 0:
            return LuaError("runtime", f"the sandbox process ended (exit code {code})")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        if name in _ENDS:
            return LuaError(*_ENDS[name])
        return LuaError("runtime", f"the sandbox process ended: it was killed ({name})")

    def _blame(self, code: str) -> str:
        """Where the time went, if that is known."""
        taken = time.monotonic() - self._began
        name = max(self._spent, key=self._spent.__getitem__, default=None)
        if name is not None and self._spent[name] > taken / 2:
            return f": {name}() took {self._spent[name]:.1f} s of it; call it less often"
        if self._calls > 100:
            return f": it called functions {self._calls} times"
        if any(word in code for word in ("find", "match", "gsub")):
            return ": is there an endless loop, or a text pattern with several of .- .* .+ on a long text?"
        return ": is there an endless loop?"


def _only_line(code: str, name: str) -> int | None:
    """The line that names a function; Lua forgets it in ``return f()``."""
    lines = [number for number, line in enumerate(code.split("\n"), 1) if name in line]
    return lines[0] if len(lines) == 1 else None
