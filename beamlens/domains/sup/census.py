"""All actors and supervisors at one moment, without waiting for any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from beamlens.domains.sup.kinship import Kinship
from beamlens_actors import ActorError, ActorRef, Future, clock, living_actors, ties, waiting_messages
from beamlens_supervision import ChildInfo, ParentRef

_ANSWER = 0.2
_IDLE_TIMES = 100
_LEAST_PAUSE = 0.9
_MOST_ALONE = 200
_SUPERVISED = frozenset({"beamlens", "beamlens_supervision"})

Described = list[tuple[ChildInfo, int]]


@dataclass(frozen=True, slots=True)
class Supervised:
    """A supervisor.

    Attributes:
        ref: Its ref.
        children: Its children with how often each was restarted; ``None`` while it is too busy to say.
        own: Whether it belongs to Beamlens.
    """

    ref: ParentRef
    children: Described | None
    own: bool

    @property
    def restarts(self) -> int:
        """Restarts of its children, as far as these are still known."""
        return sum(count for _, count in self.children or ())


class Box(NamedTuple):
    """An actor's mailbox."""

    ref: Any
    waiting: int
    capacity: int | None
    own: bool


@dataclass(frozen=True, slots=True)
class View:
    """What lives at one moment.

    Attributes:
        supervisors: Those of all trees.
        actors: How many actors live.
        largest: The fullest mailboxes, the fullest first; at most 50.
        waiting: Messages that wait, in all mailboxes.
        unlinked: Actors of the host's that nobody would hear the end of; at most 200.
        unlinked_count: How many these are.
    """

    supervisors: tuple[Supervised, ...] = ()
    actors: int = 0
    largest: tuple[Box, ...] = ()
    waiting: int = 0
    unlinked: tuple[Any, ...] = ()
    unlinked_count: int = 0

    def named(self, name: str) -> list[Supervised]:
        """The supervisors of a name."""
        return [one for one in self.supervisors if one.ref.name == name]

    def largest_of(self, *, own: bool) -> Box | None:
        """The fullest mailbox of the host's, or of Beamlens's own."""
        return next((box for box in self.largest if box.own is own), None)


class Census:
    """Looks at all actors, as often as it may cost: at most a hundredth of the time."""

    def __init__(self, kinship: Kinship) -> None:
        self._kinship = kinship
        self._asked: dict[ParentRef, Future[Described]] = {}
        self._lock = threading.Lock()
        self._view = View()
        self._next = float("-inf")
        self._at = float("-inf")

    def view(self, *, fresh: bool = False) -> View:
        """The latest look, made anew if it is time, or if `fresh`; waits up to 0.2 s for supervisors that are busy."""
        with self._lock:
            now = clock.monotonic()
            if fresh or now >= self._next or now < self._at:
                began = time.thread_time()  # to wait for a busy supervisor costs nothing
                self._view = self._look()
                self._at = now
                self._next = now + max(_LEAST_PAUSE, _IDLE_TIMES * (time.thread_time() - began))
            return self._view

    def _look(self) -> View:
        refs = living_actors()
        supervisors = [ref for ref in refs if isinstance(ref, ParentRef)]
        self._ask(supervisors)
        deadline = clock.monotonic() + _ANSWER
        described = {ref: self._answer(ref, deadline) for ref in supervisors}
        for ref, children in described.items():
            for info, _ in children or ():
                if info.ref is not None:
                    self._kinship.born(info.ref, ref, str(info.id))
        found = tuple(Supervised(ref, children, self._kinship.is_own(ref)) for ref, children in described.items())
        counted = [(count, ref) for ref in refs if (count := waiting_messages(ref))]
        counted.sort(key=lambda pair: -pair[0])
        largest = tuple(Box(ref, count, _capacity(ref), self._kinship.is_own(ref)) for count, ref in counted[:50])
        # After the supervisors were asked: a task of this moment is known as somebody's by now, or it has ended.
        alone = [ref for ref in refs if self._is_alone(ref)]
        waiting = sum(count for count, _ in counted)
        return View(found, len(refs), largest, waiting, tuple(alone[:_MOST_ALONE]), len(alone))

    def _is_alone(self, ref: Any) -> bool:
        bonds = ties(ref)
        if bonds is not None and (bonds.linked or bonds.monitors):
            return False
        # Tasks have their supervisor always, linked or not; one that is busy has not told of them.
        ours = str(ref.actor_class.__module__).partition(".")[0] in _SUPERVISED
        return not ours and not isinstance(ref, ParentRef) and not self._kinship.is_own(ref) and bool(ref.is_alive())

    def _ask(self, supervisors: Sequence[ParentRef]) -> None:
        """Ask those who owe no answer: a busy one must not find a hundred questions of ours afterwards."""
        living = set(supervisors)
        self._asked = {ref: future for ref, future in self._asked.items() if ref in living}
        for ref in supervisors:
            if ref not in self._asked:
                self._asked[ref] = ref.describe_later()

    def _answer(self, ref: ParentRef, deadline: float) -> Described | None:
        future = self._asked[ref]
        try:
            answer = future.get(timeout=max(0.0, deadline - clock.monotonic()))
        except TimeoutError:
            return None
        except ActorError:
            answer = []  # it has ended, or refused
        del self._asked[ref]
        return answer


def _capacity(ref: Any) -> int | None:
    return ref.mailbox_stats().capacity if isinstance(ref, ActorRef) else None
