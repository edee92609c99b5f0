"""What is queued in this process: found without running code of the host's, held weakly, bounded."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import types
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from beamlens.probes import executors, frames, loops, own_threads, tasks
from beamlens.probes.frames import is_own_module
from beamlens.probes.heap.kinds import KindWalk
from beamlens_actors import census, clock
from beamlens_actors.thread_frames import thread_frames

Kind = Literal["actor", "executor", "queue", "loop", "tasks"]

MOST = 500
_MOST_FRAMES = 6
_FIRST_WALK, _WALK_EVERY, _MOST_WALKED = 5.0, 300.0, 50_000
_UNNAMED = "queue of thread "
_CONTENT: dict[type, str] = {queue.Queue: "queue", asyncio.Queue: "_queue"}
_CAPACITY: dict[type, str] = {queue.Queue: "maxsize", asyncio.Queue: "_maxsize"}
_GET, _PUT = queue.Queue.get.__code__, queue.Queue.put.__code__


@dataclass(frozen=True, slots=True)
class QueueLook:
    """A queue at one moment.

    Attributes:
        key: Its own for as long as it lives.
        kind: Whose it is: an actor's mailbox, an executor's queue of work, a queue, a loop's callbacks that are due,
            or a loop's tasks.
        name: What it is called.
        depth: Items in it.
        capacity: The most that it takes; ``None``: no bound.
        consumers: Idents of the threads that take from it, as far as they are known.
        dropped: Items that it ever refused or dropped; only mailboxes tell.
    """

    key: int
    kind: Kind
    name: str
    depth: int
    capacity: int | None
    consumers: tuple[int, ...] = ()
    dropped: int = 0


@dataclass(slots=True)
class _Known:
    """A queue that was found once."""

    reference: weakref.ref[Any]
    name: str
    consumers: set[int] = field(default_factory=set)


class Queues:
    """Looks at all queues that it can find. Used by one thread at a time."""

    def __init__(self, registered: Mapping[str, Any] | None = None) -> None:
        """Make one.

        Args:
            registered: Queues of the user's by name: ``queue.Queue``, ``queue.SimpleQueue``, ``asyncio.Queue`` or a
                subclass. They are held weakly.
        """
        self._known: dict[int, _Known] = {}
        self._began = clock.monotonic()
        self._walk_at = self._began + _FIRST_WALK
        self.left_out = 0
        for name, one in (registered or {}).items():
            self._learn(one, name)

    def look(self) -> list[QueueLook]:
        """All queues that are known now: 10 us a thread, 3 us an actor or task."""
        self._see_waiting()
        pools = list(_executors())
        inside = {look.key for look in pools}
        found = [*_actors(), *pools, *(one for one in self._plain() if one.key not in inside), *_loops()]
        actors = {look.key for look in found if look.kind == "actor"}
        found = [look for look in found if look.kind != "queue" or look.key not in actors]
        found.sort(key=lambda look: -look.depth)
        self.left_out = max(0, len(found) - MOST)
        return found[:MOST]

    def search(self) -> None:
        """Every five minutes: walk the heap for queues that nobody has waited in. 0.2 s, in slices."""
        if clock.monotonic() >= self._walk_at:
            self._walk_at = clock.monotonic() + _WALK_EVERY
            walk = KindWalk(_is_queue, _MOST_WALKED)
            for found, name in walk.named():
                known = self._learn(found, name)
                if known is not None and known.name.startswith(_UNNAMED):
                    known.name = name
            walk.release()

    def _learn(self, one: Any, name: str) -> _Known | None:
        known = self._known.get(id(one))
        if known is not None and known.reference() is one:
            return known
        if not _is_queue(one) or len(self._known) >= MOST:
            return None
        try:
            known = self._known[id(one)] = _Known(weakref.ref(one), name)
        except TypeError:  # a subclass with slots
            return None
        return known

    def _see_waiting(self) -> None:
        """Threads that wait in a queue at this moment tell of it, and that they take from it."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in list(thread_frames().items()):
            current: types.FrameType | None = frame
            for _ in range(_MOST_FRAMES):
                if current is None:
                    break
                code = current.f_code
                if code is _GET or code is _PUT:
                    if own_threads.is_own(ident, names.get(ident, ""), frames.walk(frame)):
                        break
                    known = self._learn(current.f_locals.get("self"), f"{_UNNAMED}{names.get(ident, ident)}")
                    if known is not None and code is _GET:
                        known.consumers.add(ident)
                    break
                current = current.f_back

    def _plain(self) -> Iterator[QueueLook]:
        alive = {thread.ident for thread in threading.enumerate()}
        for key, known in list(self._known.items()):
            one = known.reference()
            if one is None:
                del self._known[key]
                continue
            known.consumers &= alive
            depth = _depth(one)
            if depth is not None:
                yield QueueLook(key, "queue", known.name, depth, _capacity(one), tuple(known.consumers))


def _is_queue(value: Any) -> bool:
    return type(value) is queue.SimpleQueue or issubclass(type(value), tuple(_CONTENT))


def _base(value: Any) -> type | None:
    return next((base for base in _CONTENT if issubclass(type(value), base)), None)


def _depth(one: Any) -> int | None:
    if type(one) is queue.SimpleQueue:
        return one.qsize()
    base = _base(one)
    held: Any = None if base is None else _attribute(one, _CONTENT[base])
    # The deque or list inside is Python's own: its length runs no code of a subclass.
    return len(held) if type(held) in (deque, list) else None


def _capacity(one: Any) -> int | None:
    base = _base(one)
    limit = None if base is None else _attribute(one, _CAPACITY[base])
    return limit if type(limit) is int and limit > 0 else None


def _attribute(one: Any, name: str) -> Any:
    try:
        return object.__getattribute__(one, "__dict__").get(name)
    except AttributeError:
        return None


# -- actors ----------------------------------------------------------------------------------------------------------


def _actors() -> Iterator[QueueLook]:
    for one in census.everybody():
        if not is_own_module(one.module):
            consumers = () if one.thread is None else (one.thread,)
            yield QueueLook(one.key, "actor", f"mailbox of {one.name}", one.depth, one.capacity, consumers, one.dropped)


# -- executors and event loops -------------------------------------------------------------------------------------


def _executors() -> Iterator[QueueLook]:
    for pool in executors.pools():
        yield QueueLook(pool.key, "executor", f"queue of executor {pool.name}", pool.queued, None, pool.idents)


def _loops() -> Iterator[QueueLook]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for loop, count in tasks.by_loop():
        ident = loops.thread_of(loop)
        name = f"event loop of {names.get(ident, 'no thread')}"
        consumers = () if ident is None else (ident,)
        yield QueueLook(id(loop) + 1, "tasks", f"tasks of the {name}", count, None, consumers)
        due = loops.ready(loop)
        if due is not None:
            yield QueueLook(id(loop), "loop", f"ready queue of the {name}", due, None, consumers)


class Paced:
    """`Queues.look` at most twice a second, and for at most a hundredth of the time where there is much to look at."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._next = float("-inf")
        self.latest: list[QueueLook] = []
        self.at = 0.0

    def look(self) -> bool:
        """Look if it is time; whether it was."""
        now = clock.monotonic()
        if now < self._next:
            return False
        self._queues.search()
        began = time.perf_counter()
        self.latest, self.at = self._queues.look(), now
        took = time.perf_counter() - began
        self._next = now + max(0.5, min(30.0, 100 * took) if took > 0.02 else 0.5)
        return True
