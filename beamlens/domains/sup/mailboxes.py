"""What waits for all actors, looked at each second: no actor is asked, and none notices."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from beamlens.domains.sup.kinship import Kinship
from beamlens_actors import ActorRef, backlog, clock

_MOST = 50
_LEAST_CAPACITY = 20
_LEAST_PAUSE = 0.9
_IDLE_TIMES = 1000


class Box(NamedTuple):
    """An actor's mailbox."""

    ref: Any
    waiting: int
    capacity: int | None
    own: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at one moment.

    Attributes:
        actors: How many actors live.
        largest: The fullest mailboxes, the fullest first; at most 50.
        waiting: Messages that wait, in all mailboxes.
        tightest: The one that is closest to its limit; those that hold fewer than 20 are meant to be full.
    """

    actors: int = 0
    largest: tuple[Box, ...] = ()
    waiting: int = 0
    tightest: Box | None = None

    @property
    def used(self) -> float:
        """Percent of what the tightest may hold."""
        tightest = self.tightest
        return 0.0 if tightest is None else round(100 * _share(tightest), 1)

    def largest_of(self, *, own: bool) -> Box | None:
        """The fullest mailbox of the host's, or of Beamlens's own."""
        return next((box for box in self.largest if box.own is own), None)


class Mailboxes:
    """Looks into all mailboxes, as often as it may cost: at most a thousandth of the time."""

    def __init__(self, kinship: Kinship) -> None:
        self._kinship = kinship
        self._lock = threading.Lock()
        self._held = Backlog()
        self._next = float("-inf")
        self._at = float("-inf")

    def look(self, *, fresh: bool = False) -> Backlog:
        """The latest look, made anew if it is time, or if `fresh`."""
        with self._lock:
            now = clock.monotonic()
            if fresh or now >= self._next or now < self._at:
                began = time.thread_time()
                self._held = self._look()
                self._at, self._next = now, now + max(_LEAST_PAUSE, _IDLE_TIMES * (time.thread_time() - began))
            return self._held

    def _look(self) -> Backlog:
        actors, counted = backlog()
        boxes = [Box(ref, count, _capacity(ref), self._kinship.is_own(ref)) for count, ref in counted]
        limited = [box for box in boxes if (box.capacity or 0) >= _LEAST_CAPACITY]
        return Backlog(
            actors,
            tuple(heapq.nlargest(_MOST, boxes, key=lambda box: box.waiting)),
            sum(box.waiting for box in boxes),
            max(limited, key=_share, default=None),
        )


def _capacity(ref: Any) -> int | None:
    if isinstance(ref, ActorRef):
        return ref.mailbox_stats().capacity
    return getattr(ref.actor_inbox, "maxsize", None) or None


def _share(box: Box) -> float:
    return box.waiting / (box.capacity or 1)
