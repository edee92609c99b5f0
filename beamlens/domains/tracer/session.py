"""One trace: `sys.monitoring` on one code object, bounded in messages a second, in traces, and in time."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import CodeType
from typing import Any

from beamlens.domains.tracer import arguments
from beamlens.domains.tracer.target import Target, type_name
from beamlens.probes import frames
from beamlens_actors import AbortSignal, clock
from beamlens_actors.backends.threads import spawn

MOST_TRACES = 50
A_SECOND = 5
LONGEST = 60.0
_TOOL_IDS = (4, 3)
_LOOK = 0.1
_MOST_CALLERS = 8


class ToolsTakenError(RuntimeError):
    """Both tool ids that are free for others are taken: by a debugger, a coverage tool, a profiler."""


@dataclass(slots=True)
class Call:
    """A traced call, as text and numbers.

    Attributes:
        at: When it began, seconds since the epoch.
        began: The same on the clock that measures.
        thread: Name of its thread.
        caller: The line that called it, ``""`` when there is none in Python.
        types: Names and types of its arguments, never their values.
        resumed: How often a generator or coroutine went on.
        took: Seconds until it ended, ``None`` while it runs.
        outcome: ``returned``, ``raised``, or ``running``.
        type: Type of what it returned or raised.
    """

    at: float
    began: float
    thread: str
    caller: str
    types: tuple[tuple[str, str], ...]
    resumed: int = 0
    took: float | None = None
    outcome: str = "running"
    type: str = ""

    def row(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "at": round(self.at, 3),
            "duration_ms": None if self.took is None else round(1e3 * self.took, 3),
            "outcome": self.outcome,
            "type": self.type or None,
            "thread": self.thread,
            "caller": self.caller or None,
            "argument_types": [{"name": name, "type": kind} for name, kind in self.types],
            "resumed": self.resumed,
        }


class Session:
    """A trace under way or ended. The callbacks run on the host's threads: they wait for nothing and raise nothing.

    Five calls a second are recorded. In a second that has had its five the events are switched off for the function
    (``DISABLE``), so that one that is called a million times a second costs next to nothing; they are switched on
    again with the next second.
    """

    def __init__(self, target: Target) -> None:
        """Begin.

        Raises:
            ToolsTakenError: Other tools have the ids.
            RuntimeError: The system gives no more threads.
        """
        self.target = target
        self.calls: deque[Call] = deque(maxlen=MOST_TRACES)
        self.ended: str | None = None
        self._code = target.code
        self._began = clock.monotonic()
        self._seconds = 0.0
        self._under_way: dict[int, Call] = {}
        self._second = 0
        self._taken = 0
        self._skipped = False
        # Read and returned in one step: nothing may be switched off for a tool that was given back.
        self._disable: object = sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
        self._signal = AbortSignal()
        self._lock = threading.Lock()
        self._tool = self._install()
        try:
            spawn(self._watch, "beamlens-tracer")
        except RuntimeError:
            self.end("no thread could be started to end it")
            raise

    # -- on and off ------------------------------------------------------------------------------------------

    def _install(self) -> int:
        monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        for tool in _TOOL_IDS:
            try:
                monitoring.use_tool_id(tool, "beamlens")
                break
            except ValueError:
                continue
        else:
            names = ", ".join(f"{tool} by {monitoring.get_tool(tool)}" for tool in _TOOL_IDS)
            raise ToolsTakenError(f"the tool ids of sys.monitoring are taken: {names}")
        events = monitoring.events
        for event, function in (
            (events.PY_START, self._start),
            (events.PY_RESUME, self._resume),
            (events.PY_RETURN, self._return),
            (events.PY_UNWIND, self._unwind),
        ):
            monitoring.register_callback(tool, event, function)
        monitoring.set_local_events(tool, self._code, self._local(monitoring))
        # Exceptions that leave a function cannot be watched for one function; this one looks at each and lets it go.
        monitoring.set_events(tool, events.PY_UNWIND)
        return int(tool)

    @staticmethod
    def _local(monitoring: Any) -> int:
        events = monitoring.events
        return int(events.PY_START | events.PY_RESUME | events.PY_RETURN)

    def end(self, reason: str) -> None:
        """Take everything out; again: does nothing."""
        with self._lock:
            if self.ended is None:
                self._disable = None
                self._seconds = clock.monotonic() - self._began
                self.ended = reason
                self._uninstall()
        self._signal.abort()

    def _uninstall(self) -> None:
        monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        events = monitoring.events
        monitoring.set_events(self._tool, 0)
        monitoring.set_local_events(self._tool, self._code, 0)
        for event in (events.PY_START, events.PY_RESUME, events.PY_RETURN, events.PY_UNWIND):
            monitoring.register_callback(self._tool, event, None)
        monitoring.free_tool_id(self._tool)
        self._under_way.clear()

    def lost_in_fork(self) -> None:
        """In a forked child: nobody would end it, and its lock may be held."""
        self._lock = threading.Lock()
        self._signal = AbortSignal()
        self.end("the process was forked")

    def _watch(self) -> None:
        second = 0
        while not self._signal.wait(_LOOK):
            passed = clock.monotonic() - self._began
            if passed >= LONGEST:
                return self.end("its time was over")
            if len(self.calls) >= MOST_TRACES and not self._under_way:
                return self.end(f"{MOST_TRACES} calls were recorded")
            if int(passed) > second:
                second = int(passed)
                self._rearm()
        return None

    def _rearm(self) -> None:
        """A new second: events that were switched off for this function come again, those of other tools stay."""
        with self._lock:
            self._taken = 0
            if self._skipped and self.ended is None and len(self.calls) < MOST_TRACES:
                self._skipped = False
                monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
                monitoring.set_local_events(self._tool, self._code, 0)
                monitoring.set_local_events(self._tool, self._code, self._local(monitoring))

    # -- on the host's threads -------------------------------------------------------------------------------

    def _start(self, _code: CodeType, _offset: int) -> Any:
        try:
            if self._taken >= A_SECOND or len(self.calls) >= MOST_TRACES:
                self._skipped = True
                return self._disable
            self._taken += 1
            frame = sys._getframe(1)  # noqa: SLF001 - whose call this is
            caller = frames.user_place(frames.walk(frame.f_back, _MOST_CALLERS))
            call = Call(
                at=time.time(),
                began=0.0,
                thread=_thread_name(),
                caller=str(caller) if caller else "",
                types=arguments.types_of(frame),
            )
            self.calls.append(call)
            self._under_way[id(frame)] = call
            call.began = time.perf_counter()
        except Exception:  # noqa: BLE001 - it would be raised in the host
            pass
        return None

    def _resume(self, _code: CodeType, _offset: int) -> Any:
        try:
            if not self._under_way:
                self._skipped = True
                return self._disable
            call = self._under_way.get(id(sys._getframe(1)))  # noqa: SLF001 - whose call this is
            if call is not None:
                call.resumed += 1
        except Exception:  # noqa: BLE001 - it would be raised in the host
            pass
        return None

    def _return(self, _code: CodeType, _offset: int, value: object) -> Any:
        now = time.perf_counter()
        try:
            if not self._under_way:
                self._skipped = True
                return self._disable
            call = self._under_way.pop(id(sys._getframe(1)), None)  # noqa: SLF001 - whose call this is
            if call is not None:
                self._done(call, now, "returned", value)
        except Exception:  # noqa: BLE001 - it would be raised in the host
            pass
        return None

    def _unwind(self, code: CodeType, _offset: int, error: BaseException) -> None:
        if code is not self._code:
            return
        now = time.perf_counter()
        try:
            call = self._under_way.pop(id(sys._getframe(1)), None)  # noqa: SLF001 - whose call this is
            if call is not None:
                self._done(call, now, "raised", error)
        except Exception:  # noqa: BLE001 - it would be raised in the host
            pass

    @staticmethod
    def _done(call: Call, now: float, outcome: str, value: object) -> None:
        call.took, call.outcome, call.type = now - call.began, outcome, type_name(value)

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.ended is None

    @property
    def seconds(self) -> float:
        """How long it has gone on, or went on."""
        return clock.monotonic() - self._began if self.ended is None else self._seconds


def _thread_name() -> str:
    # Not current_thread(): for a thread that Python did not start it makes an object, under a lock.
    known: dict[int, threading.Thread] = vars(threading).get("_active", {})
    found = known.get(threading.get_ident())
    return "" if found is None else found.name


class Sessions:
    """The process's one trace at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.latest: Session | None = None

    def start(self, target: Target) -> Session | None:
        """Begin a trace; ``None`` while one is under way. Raises as `Session`."""
        with self._lock:
            if self.latest is not None and self.latest.active:
                return None
            self.latest = Session(target)
            return self.latest

    def lost_in_fork(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()
        if self.latest is not None and self.latest.active:
            self.latest.lost_in_fork()


shared = Sessions()
"""Monitoring is the interpreter's, not a domain's."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared.lost_in_fork)
