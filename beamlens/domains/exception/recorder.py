"""The ring of exceptions: uncaught, unraisable, and those that were caught and logged."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

from beamlens.evidence import Place
from beamlens.probes import hooks, logtap
from beamlens.probes.exceptions import ExceptionText, describe
from beamlens.probes.hooks import Origin
from beamlens.probes.logtap import LogFields
from beamlens.probes.rates import Rates
from beamlens_actors import clock

RING = 500
WINDOW = 300
_MARK = "__beamlens_seen__"

Kind = Literal["error", "exit", "throw"]
KINDS: tuple[Kind, ...] = ("error", "exit", "throw")
TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exception.

    Attributes:
        id: Number, counted from 1, as text.
        at: Seconds since the epoch.
        kind: ``error``: handled, it was logged; ``exit``: uncaught, it ended a thread or the program; ``throw``:
            unraisable, such as in a finaliser.
        level: Level name of its log record; ``CRITICAL`` when uncaught, ``ERROR`` when unraisable.
        thread: Name of its thread.
        text: The exception.
        place: The innermost line of the user's code.
    """

    id: str
    at: float
    kind: Kind
    level: str
    thread: str
    text: ExceptionText
    place: Place | None

    @property
    def fingerprint(self) -> str:
        """The same for the same type at the same place."""
        return self.text.type if self.place is None else f"{self.text.type} at {self.place.file}:{self.place.line}"


class ExceptionRecorder:
    """Records exceptions; its sinks run on the host's threads and take no lock."""

    def __init__(self, ring: int = RING) -> None:
        self.rates = Rates()
        self.since: float | None = None
        self._ring: deque[Recorded] = deque(maxlen=ring)
        self._ids = itertools.count(1)

    def install(self) -> None:
        """Begin to record."""
        if self.since is None:
            self.since = clock.time()
        hooks.add(self.uncaught)
        logtap.add(self.logged, with_exception_only=True)

    def uninstall(self) -> None:
        """Stop recording; what was recorded stays."""
        logtap.remove(self.logged)
        hooks.remove(self.uncaught)
        self.since = None

    def logged(self, fields: LogFields, error: BaseException | None) -> None:
        """Take an exception that was logged."""
        text = fields[7]
        if text is not None and error is not None:
            self._keep(error, text, "error", logging.getLevelName(fields[1]), threading.current_thread().name)

    def uncaught(self, origin: Origin, error: BaseException, thread: str) -> None:
        """Take an exception that nobody caught."""
        kind: Kind = "exit" if origin == "uncaught" else "throw"
        self._keep(error, describe(error), kind, "CRITICAL" if kind == "exit" else "ERROR", thread)

    def _keep(self, error: BaseException, text: ExceptionText, kind: Kind, level: str, thread: str) -> None:
        now = clock.time()
        seen = _seen_before(error)
        if seen and kind == "error":
            return  # logged by several layers
        self._ring.append(Recorded(str(next(self._ids)), now, kind, level, thread, text, text.place))
        if not seen:
            self.rates.add(TOTAL, now)
        self.rates.add(kind, now)

    def recorded(self) -> list[Recorded]:
        """The ring, newest first."""
        return list(reversed(self._ring.copy()))


def _seen_before(error: BaseException) -> bool:
    """Whether this very exception was taken already, by another layer that logged it or a hook; marks it.

    An exception cannot be kept, most cannot be referenced weakly, and its ``id`` is used again as soon as it is gone:
    a burst of equal ones would look like one. So it carries a mark, of this process, since exceptions are pickled too.
    """
    try:
        if vars(error).get(_MARK) == os.getpid():
            return True
        vars(error)[_MARK] = os.getpid()
    except TypeError:  # no attributes
        pass
    return False
