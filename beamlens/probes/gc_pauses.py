"""Collections of the garbage collector, and its long pauses, for several users: one tap, shared."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import NamedTuple

from beamlens.probes.gc_tap import Collection, GcTap
from beamlens_actors import clock

LONG = 0.1
"""From how many seconds on a pause is long."""

_MOST_LONG = 200


class Pause(NamedTuple):
    """A long collection.

    Attributes:
        at: When it ended, seconds since the epoch.
        seconds: How long it worked: processor time of the thread that collected.
        generation: Which generation was collected, as the interpreter numbers them.
        collected: Objects that it freed.
        uncollectable: Objects that it could not free.
        lasted: Seconds by the clock, with all other Python threads stopped.
    """

    at: float
    seconds: float
    generation: int
    collected: int
    uncollectable: int
    lasted: float

    @property
    def long(self) -> bool:
        """Whether the collector itself worked long."""
        return self.seconds >= LONG


class GcPauses:
    """Started and stopped by count, or by who reads every collection. Not alive in a forked child.

    Attributes:
        long: The last 200 long pauses, the newest last.
    """

    def __init__(self) -> None:
        self._tap = GcTap()
        self.lost_in_fork()

    def lost_in_fork(self) -> None:
        """A child has no users; takes no lock, since another thread of the parent may have held it."""
        self._lock = threading.Lock()
        self._users = 0
        self._readers: tuple[deque[Collection], ...] = ()
        self.long: deque[Pause] = deque(maxlen=_MOST_LONG)
        self._tap.uninstall()

    @property
    def installed(self) -> bool:
        """Whether the tap is in place; a program may have taken it out."""
        return self._tap.installed

    def start(self, reader: deque[Collection] | None = None) -> None:
        """Install the tap, if it is not in place.

        Args:
            reader: Gets every collection from now on, at each `drain`; again the same one: nothing changes. Without
                one, one more user is counted.
        """
        with self._lock:
            if reader is None:
                self._users += 1
            elif not any(one is reader for one in self._readers):
                self._readers = (*self._readers, reader)
            self._tap.install()

    def stop(self, reader: deque[Collection] | None = None) -> None:
        """Let go of a reader, or count one user less; the last one takes the tap out."""
        with self._lock:
            self._drain()
            if reader is None:
                self._users = max(0, self._users - 1)
            else:
                self._readers = tuple(one for one in self._readers if one is not reader)
            if not self._users and not self._readers:
                self._tap.uninstall()
                self._tap.drain()
                self.long.clear()

    def drain(self) -> int:
        """Give what the tap has recorded to those who read; how many collections it was."""
        with self._lock:
            return self._drain()

    def _drain(self) -> int:
        found = self._tap.drain()
        for one in found:
            if one.lasted >= LONG:
                ago = time.perf_counter() - one.began_ns / 1e9 - one.lasted
                at = clock.time() - max(0.0, ago)
                self.long.append(Pause(at, one.seconds, one.generation, one.collected, one.uncollectable, one.lasted))
        for reader in self._readers:
            reader.extend(found)
        return len(found)

    def recent(self, seconds: float) -> list[Pause]:
        """The pauses of the last seconds that lasted long; takes in what the tap has recorded."""
        with self._lock:
            self._drain()
            since = clock.time() - seconds
            return [pause for pause in self.long if pause.at >= since]


pauses = GcPauses()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pauses.lost_in_fork)

__all__ = ["LONG", "GcPauses", "Pause", "pauses"]
