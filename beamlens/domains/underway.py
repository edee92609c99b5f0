"""What begins and ends on the host's threads, held without a lock until somebody reads it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something that takes time."""

    @property
    def began(self) -> float:
        """When it began, on a monotonic clock."""
        ...


T = TypeVar("T")
TimedT = TypeVar("TimedT", bound=Timed)


class UnderWay(Generic[TimedT]):
    """What goes on now. `begin` and `end` are single steps of the interpreter: any thread may call them."""

    def __init__(self, most: int) -> None:
        """Make one.

        Args:
            most: How many are held; what begins while so many go on is only counted.
        """
        self._most = most
        self._held: dict[int, TimedT] = {}
        self._unseen: itertools.count[int] = itertools.count()

    def begin(self, one: TimedT) -> None:
        """It has begun."""
        if len(self._held) < self._most:
            self._held[id(one)] = one
        else:
            next(self._unseen)

    def end(self, one: TimedT) -> None:
        """It has ended; not held: nothing changes."""
        self._held.pop(id(one), None)

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()

    def oldest_first(self) -> list[TimedT]:
        """All that are held, by when they began."""
        return sorted(self._held.copy().values(), key=lambda one: one.began)

    @property
    def unseen(self) -> int:
        """How many began while too many went on."""
        return _told(self._unseen)


class Ended(Generic[T]):
    """What has ended and is not entered in a book yet. Any thread may `put`; one at a time may `drain`."""

    def __init__(self, most: int) -> None:
        """Make one.

        Args:
            most: How many wait; a newer one pushes the oldest out.
        """
        self._waiting: deque[T] = deque(maxlen=most)
        self._put: itertools.count[int] = itertools.count()

    def put(self, one: T) -> None:
        """It has ended."""
        self._waiting.append(one)
        next(self._put)

    def drain(self, enter: Callable[[T], object]) -> None:
        """Enter all that wait, the oldest first."""
        while True:
            try:
                one = self._waiting.popleft()
            except IndexError:
                return
            enter(one)

    def lost(self, entered: int) -> int:
        """How many were pushed out, if so many were entered."""
        return max(0, _told(self._put) - entered - len(self._waiting))


def _told(counter: itertools.count[int]) -> int:
    """How often a counter was asked: its text is the one way to read it that does not count."""
    return int(repr(counter)[6:-1])
