"""Times the collector's pauses without running a line of Python inside of it.

A ``gc.callbacks`` function written in Python has a trap: a signal that arrives while the collector runs is handled when
the next Python code runs, which is the callback, and an exception of the signal's handler (``KeyboardInterrupt``, the
``SystemExit`` of a SIGTERM handler) is swallowed there. In a program that spends a third of its time in the collector
every third Ctrl-C would be lost. So the callbacks here are made of built-in functions only: no frame, no signal check,
no lock, and no re-entry.
"""

from __future__ import annotations

import gc
import operator
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

RING = 8192

_Info = dict[str, int]
_Entry = tuple[int, _Info | None, _Info | None, int]


@dataclass(frozen=True, slots=True)
class Collection:
    """One run of the collector.

    Attributes:
        generation: 0 to 2.
        began_ns: When, by ``time.perf_counter_ns``.
        seconds: How long it worked: processor time of the thread that collected. What that thread waited for a
            processor is the machine's doing, not the collector's.
        collected: Objects that it freed.
        uncollectable: Objects that it could not free.
        lasted: Seconds by the clock, with all other Python threads stopped.
    """

    generation: int
    began_ns: int
    seconds: float
    collected: int
    uncollectable: int
    lasted: float


class GcTap:
    """Installs the callbacks, and turns what they recorded into collections. One thread drains it."""

    def __init__(self, ring: int = RING) -> None:
        self._ring: deque[_Entry] = deque(maxlen=ring)
        self._installed: tuple[Callable[[str, _Info], object], ...] = ()
        self._last: _Entry = (0, None, None, 0)
        self._began: _Entry | None = None

    def install(self) -> None:
        """Begin to record; installed already: nothing changes."""
        if self.installed:
            return
        self.uninstall()
        self._installed = _callbacks(self._ring)
        gc.callbacks.extend(self._installed)

    def uninstall(self) -> None:
        """Take the callbacks out; those of others stay."""
        mine = {id(one) for one in self._installed}
        for one in [one for one in gc.callbacks if id(one) in mine]:
            gc.callbacks.remove(one)
        self._installed = ()

    @property
    def installed(self) -> bool:
        """Whether the callbacks are in place; a program may have emptied ``gc.callbacks``."""
        present = {id(one) for one in gc.callbacks}
        return bool(self._installed) and all(id(one) in present for one in self._installed)

    def drain(self) -> list[Collection]:
        """The collections since the last call, oldest first; of a great many, the latest."""
        found = []
        while self._ring:
            entry = self._ring.popleft()
            stopped = self._last[2]
            self._last = entry
            if entry[2] is not stopped:
                collection = self._pair(entry)
                if collection is not None:
                    found.append(collection)
                self._began = None
            elif entry[1] is not None:
                self._began = entry  # of the two entries of a start the later one: nearer to the work
        return found

    def _pair(self, stop: _Entry) -> Collection | None:
        info, began = stop[2], self._began
        if began is None or info is None or began[1] is not stop[1]:
            return None
        return Collection(
            generation=info["generation"],
            began_ns=began[0],
            seconds=(stop[3] - began[3]) / 1e9,
            collected=info["collected"],
            uncollectable=info["uncollectable"],
            lasted=(stop[0] - began[0]) / 1e9,
        )


def _callbacks(ring: deque[_Entry]) -> tuple[Callable[[str, _Info], object], ...]:
    """The first keeps ``info`` under the phase's name; the second records the time, twice a phase.

    ``max(phase, info, key=...)`` is the built-in way to call something, whatever the arguments: once for each, and
    ``next`` then draws one entry from an endless chain of built-in iterators. What it compares are equal tuples.
    """
    latest: dict[str, Any] = {"start": None, "stop": None}
    never = object()
    entries = zip(
        iter(time.perf_counter_ns, never),
        iter(partial(latest.get, "start"), never),
        iter(partial(latest.get, "stop"), never),
        iter(time.thread_time_ns, never),
        strict=False,
    )
    record = zip(map(ring.append, entries), strict=False)
    call_for_each = cast("Callable[..., object]", max)
    return partial(operator.setitem, latest), partial(call_for_each, key=partial(next, record))
