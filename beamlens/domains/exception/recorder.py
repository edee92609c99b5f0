"""The ring of exceptions: uncaught, unraisable, and those that were caught and logged, or caught by a framework."""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from typing import Literal, NamedTuple

from beamlens.evidence import Place
from beamlens.probes import hooks, logtap, request_context
from beamlens.probes.exceptions import ExceptionText, describe
from beamlens.probes.hooks import Origin
from beamlens.probes.rates import Rates
from beamlens_actors import clock

RING = 500
WINDOW = 300
_MARK = "__beamlens_seen_{}_{}__"

Kind = Literal["error", "exit", "throw"]
KINDS: tuple[Kind, ...] = ("error", "exit", "throw")
ENDED = "ended"
_UPGRADED = "upgraded"
_KIND_OF: dict[Origin, Kind] = {"uncaught": "exit", "unraisable": "throw", "handled": "error"}

_numbers = itertools.count(1)


class Recorded(NamedTuple):
    """One exception.

    Attributes:
        id: Number, counted from 1, as text.
        at: Seconds since the epoch.
        kind: ``error``: handled, it was logged or a framework caught it; ``exit``: uncaught, it ended a thread or the
            program; ``throw``: unraisable, such as in a finaliser.
        level: Level name of its log record; ``CRITICAL`` when uncaught, else ``ERROR``.
        thread: Name of its thread.
        text: The exception.
        again: It was recorded before as ``error``: logged, and then it ended its thread all the same.
        route: Route of the request that it belongs to, such as ``POST /orders``; ``""`` without one.
        trace_id: Trace id of that request.
    """

    id: str
    at: float
    kind: Kind
    level: str
    thread: str
    text: ExceptionText
    again: bool
    route: str = ""
    trace_id: str = ""

    @property
    def place(self) -> Place | None:
        """The innermost line of the user's code; found when it is asked for."""
        return self.text.place

    @property
    def fingerprint(self) -> str:
        """The same for the same type at the same place."""
        place = self.place
        return self.text.type if place is None else f"{self.text.type} at {place.file}:{place.line}"


_Taken = tuple[int, float, Kind, int, str, ExceptionText, bool, str, str]
"""A `Recorded` as it is put down on the host's thread: a plain tuple, with numbers for its id and its level."""


class ExceptionRecorder:
    """Records exceptions; its sinks run on the host's threads and take no lock."""

    def __init__(self, ring: int = RING) -> None:
        self.rates = Rates()
        self.since: float | None = None
        self._ring: deque[_Taken] = deque(maxlen=ring)
        self._ids = itertools.count(1)
        self._number = next(_numbers)
        self._mark = _MARK.format(self._number, os.getpid())

    def install(self) -> None:
        """Begin to record."""
        if self.since is None:
            self.since = clock.time()
        self._mark = _MARK.format(self._number, os.getpid())  # a forked child installs anew
        hooks.add(self.uncaught)
        logtap.add_error_sink(self.logged)

    def uninstall(self) -> None:
        """Stop recording; what was recorded stays."""
        logtap.remove(self.logged)
        hooks.remove(self.uncaught)
        self.since = None

    def logged(  # noqa: PLR0917 - as `logtap.ErrorSink` has it
        self, error: BaseException, text: ExceptionText, level: int, thread: str, route: str, trace_id: str
    ) -> None:
        """Take an exception that was logged; see `logtap.ErrorSink`."""
        now = clock.time()
        if self._first_seen(error, now) is None:  # else it was logged by several layers
            self._ring.append((next(self._ids), now, "error", level, thread, text, False, route, trace_id))
            self.rates.add("error", now)

    def uncaught(self, origin: Origin, error: BaseException, thread: str) -> None:
        """Take an exception that nobody caught, or that a framework did; see `hooks.Sink`."""
        kind: Kind = _KIND_OF[origin]
        now = clock.time()
        first = self._first_seen(error, now)
        if kind == "exit":
            self.rates.add(ENDED, now)
        if first is not None and kind == "error":
            return
        level = logging.CRITICAL if kind == "exit" else logging.ERROR
        text = describe(error)
        route, trace_id = request_context.labels()
        self._ring.append((next(self._ids), now, kind, level, thread, text, first is not None, route, trace_id))
        if first is None:
            self.rates.add(kind, now)
        else:
            # It counts once, as what it turned out to be. At the time of the first, so that windows agree.
            self.rates.add(_UPGRADED, first)
            self.rates.add(kind, first)

    def _first_seen(self, error: BaseException, now: float) -> float | None:
        """When this very exception was taken before, by another layer that logged it or a hook; marks it if not.

        An exception cannot be kept, most cannot be referenced weakly, and its ``id`` is used again as soon as it is
        gone: a burst of equal ones would look like one. So it carries a mark: of this recorder, since each instance
        counts for itself, and of this process, since exceptions are pickled too.
        """
        try:
            marks = error.__dict__
            seen: float | None = marks.get(self._mark)
            if seen is not None:
                return seen
            marks[self._mark] = now
        except Exception:  # noqa: BLE001 - no attributes, or attributes of the host's own making
            pass
        return None

    def total(self, seconds: int = WINDOW, *, whole: bool = False) -> int:
        """Exact count of all kinds; an exception counts once.

        Args:
            seconds: Length of the window.
            whole: Leave out the second that has only begun.
        """
        found = sum(self.rates.count(kind, seconds, whole=whole) for kind in KINDS)
        return max(0, found - self.rates.count(_UPGRADED, seconds, whole=whole))

    def counts(self, seconds: int = WINDOW) -> dict[Kind, int]:
        """Exact counts by kind; an exception counts once, as the last thing that it turned out to be."""
        found: dict[Kind, int] = {kind: self.rates.count(kind, seconds) for kind in KINDS}
        found["error"] = max(0, found["error"] - self.rates.count(_UPGRADED, seconds))
        return found

    def dropped(self) -> int:
        """Exceptions that newer ones have pushed out of the ring."""
        return max(0, int(repr(self._ids)[6:-1]) - 1 - len(self._ring))

    def span(self, seconds: float) -> float:
        """How much of the last `seconds` the ring covers: less when more came than are held."""
        held = self._ring.copy()
        if len(held) < (held.maxlen or 0):
            return seconds
        return min(seconds, max(0.1, clock.time() - held[0][1]))

    def recorded(self) -> list[Recorded]:
        """The ring, newest first."""
        return [
            Recorded(str(one[0]), one[1], one[2], logging.getLevelName(one[3]), *one[4:])
            for one in reversed(self._ring.copy())
        ]
