"""tracemalloc for some seconds: started on request only, and ended by itself."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from beamlens.domains.arguments import error
from beamlens.evidence import Place
from beamlens.probes import frames
from beamlens_actors import AbortSignal, clock
from beamlens_actors.backends.threads import spawn

LONGEST = 60.0
MOST_FRAMES = 5
MOST_BYTES = 8_000_000
_LOOK = 0.25


@dataclass(frozen=True, slots=True)
class Allocated:
    """What one line allocated while it was traced and did not free.

    Attributes:
        at: The line; the last one of the program's own, where more frames were kept.
        file: Its file.
        bytes: How much.
        blocks: In how many pieces.
    """

    at: str
    file: str
    bytes: int
    blocks: int


class Tracing:
    """One use of tracemalloc at a time. It starts none when the host has: that one is left alone."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._signal: AbortSignal | None = None
        self._began = 0.0
        self._until = 0.0
        self._ended: str | None = None
        self._seconds = 0.0
        self._found: list[Allocated] = []
        self._total = 0

    def start(self, seconds: float, nframes: int) -> dict[str, Any]:
        """Begin; answers an error when it cannot."""
        with self._lock:
            if self._signal is not None:
                return error("already_tracing", f"it traces until {self._until - clock.monotonic():.0f} s from now")
            if tracemalloc.is_tracing():
                return error("in_use", "the program uses tracemalloc itself: it is left alone")
            signal, deadline = AbortSignal(), clock.monotonic() + seconds
            tracemalloc.start(nframes)
            self._signal, self._began, self._until = signal, clock.monotonic(), deadline
            self._ended, self._found, self._total = None, [], 0
            try:
                spawn(lambda: self._watch(signal, deadline), "beamlens-tracemalloc")
            except RuntimeError:  # no more threads: nobody would end it
                self._end(signal, "no thread could be started to end it")
                return error("unavailable", "no thread can be started to end it")
        return {"tracing": True, "seconds": seconds, "frames": nframes, "memory_limit_mb": MOST_BYTES / 1e6}

    def stop(self, reason: str = "asked to") -> dict[str, Any]:
        """End it now; fine when it does not trace."""
        with self._lock:
            if self._signal is not None:
                self._end(self._signal, reason)
        return self.state()

    def state(self) -> dict[str, Any]:
        """Whether it traces, for how long, and why it ended."""
        tracing = self._signal is not None
        return {
            "tracing": tracing,
            "seconds": round(clock.monotonic() - self._began if tracing else self._seconds, 2),
            "ended": self._ended,
        }

    def top(self, limit: int) -> dict[str, Any]:
        """The lines that allocated most and did not free it, most bytes first."""
        with self._lock:
            if self._signal is not None and tracemalloc.is_tracing():
                self._take()
            elif self._ended is None:
                return error("not_traced", "nothing was traced yet: see trace_start")
            rows = [
                {"at": one.at, "file": one.file, "kb": round(one.bytes / 1e3, 1), "blocks": one.blocks}
                for one in self._found[:limit]
            ]
            return {**self.state(), "total_kb": round(self._total / 1e3, 1), "lines": rows}

    def _watch(self, signal: AbortSignal, deadline: float) -> None:
        reason = None
        while reason is None and not signal.wait(min(_LOOK, max(0.001, deadline - clock.monotonic()))):
            if not tracemalloc.is_tracing():
                reason = "the program ended it"
            elif tracemalloc.get_tracemalloc_memory() > MOST_BYTES:
                reason = f"its own memory reached {MOST_BYTES / 1e6:.0f} MB"
            elif clock.monotonic() >= deadline:
                reason = "its time was over"
        with self._lock:
            if self._signal is signal:
                self._end(signal, reason or "asked to")

    def _end(self, signal: AbortSignal, reason: str) -> None:
        self._signal, self._ended = None, reason
        self._seconds = clock.monotonic() - self._began
        try:
            if tracemalloc.is_tracing():
                self._take()
        finally:
            tracemalloc.stop()
            signal.abort()

    def _take(self) -> None:
        snapshot = tracemalloc.take_snapshot()
        sums: dict[tuple[str, int], list[int]] = {}
        self._total = 0
        for trace in snapshot.traces:
            place = _place(trace.traceback)
            if place is None:
                continue
            entry = sums.setdefault(place, [0, 0])
            entry[0] += trace.size
            entry[1] += 1
            self._total += trace.size
        found = [
            Allocated(str(Place(file=file, line=max(1, line))), file, held[0], held[1])
            for (file, line), held in sums.items()
        ]
        self._found = sorted(found, key=lambda one: -one.bytes)[:200]

    def lost_in_fork(self) -> None:
        """In a forked child: whoever would end it is not here."""
        ours = self._signal is not None
        self._reset()
        if ours:
            tracemalloc.stop()


def _place(traceback: Iterable[tracemalloc.Frame]) -> tuple[str, int] | None:
    """The innermost line of the program's own, else the innermost; ``None`` for ours."""
    innermost: tuple[str, int] | None = None
    for frame in reversed(list(traceback)):
        if frames.is_own_file(frame.filename):
            return None
        innermost = innermost or (frame.filename, frame.lineno)
        if not frames.is_standard_file(frame.filename) and not frames.is_library_file(frame.filename):
            return frame.filename, frame.lineno
    return innermost


shared = Tracing()
"""The process's one: tracemalloc is the interpreter's, not a domain's."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared.lost_in_fork)
