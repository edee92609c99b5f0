"""All actors and supervisors at one moment, without waiting for any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beamlens.domains.sup.kinship import Kinship
from beamlens_actors import ActorError, Future, clock, living_actors, ties
from beamlens_supervision import ChildInfo, ParentRef

_ANSWER = 0.2
_IDLE_TIMES = 1000
_LEAST_PAUSE = 0.9
_SELDOM = 30.0
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


@dataclass(frozen=True, slots=True)
class View:
    """What lives at one moment.

    Attributes:
        supervisors: Those of all trees.
        unlinked: Actors of the host's that nobody would hear the end of; at most 200.
        unlinked_count: How many these are.
    """

    supervisors: tuple[Supervised, ...] = ()
    unlinked: tuple[Any, ...] = ()
    unlinked_count: int = 0

    def named(self, name: str) -> list[Supervised]:
        """The supervisors of a name."""
        return [one for one in self.supervisors if one.ref.name == name]


class Census:
    """Asks all supervisors and looks at all actors: when somebody wants to know, else now and then.

    Now and then, because only so the children of supervisors are known that were there before Beamlens was. Each look
    wakes every supervisor of the host's.
    """

    def __init__(self, kinship: Kinship) -> None:
        self._kinship = kinship
        self._asked: dict[ParentRef, Future[Described]] = {}
        self._lock = threading.Lock()
        self._view = View()
        self._at = float("-inf")
        self._took = 0.0

    def view(self, *, fresh: bool = False) -> View:
        """The look of the last second, or a new one; waits up to 0.2 s, all together, for supervisors that are busy.

        Args:
            fresh: Make a new one in any case.
        """
        return self._view_of(_LEAST_PAUSE, fresh=fresh)

    def refresh(self) -> None:
        """A look if the latest is old; what it costs is at most a thousandth of the time."""
        self._view_of(max(_SELDOM, _IDLE_TIMES * self._took))

    def _view_of(self, age: float, *, fresh: bool = False) -> View:
        with self._lock:
            now = clock.monotonic()
            if fresh or not 0 <= now - self._at < age:
                began = time.thread_time()  # to wait for a busy supervisor costs nothing
                self._view = self._look()
                self._at, self._took = now, time.thread_time() - began
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
        # After the supervisors were asked: a task of this moment is known as somebody's by now, or it has ended.
        alone = [ref for ref in refs if self._is_alone(ref)]
        return View(found, tuple(alone[:_MOST_ALONE]), len(alone))

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
