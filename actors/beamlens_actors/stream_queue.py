"""The queue inside an `EventStream`: its events, its one terminal event, and who waits for either."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from beamlens_actors.stream_events import PushResult, StreamStats, StreamTerminal
from beamlens_actors.waiters import discard

if TYPE_CHECKING:
    from beamlens_actors.waiters import Waiter

StreamOverflow = Literal["reject", "drop_oldest", "drop_newest"]

NOTHING = object()
"""What `StreamQueue.take` returns when the consumer has to wait."""
OVER = object()
"""What `StreamQueue.take` returns when nothing will come any more."""


class StreamQueue:
    """Never blocks, except for its lock.

    A push wakes the consumer that waits longest and promises it the oldest event, which then counts as gone:
    nobody else fetches or drops it, unless that consumer gives up. So pushes see room as soon as somebody
    waits, and events leave in order.
    """

    def __init__(self, capacity: int, overflow: StreamOverflow) -> None:
        self.end: StreamTerminal | None = None
        # Re-entrant: a finaliser or signal handler may push while its thread is inside.
        self.lock = threading.RLock()
        self._capacity = capacity
        self._overflow = overflow
        self._events: deque[Any] = deque()
        # The terminal event is apart from the others, so that none can come after it, and counted with them.
        self._end_waits = 0
        self._promised = 0
        self._takers: deque[Waiter] = deque()
        self._end_waiters: deque[Waiter] = deque()
        self._room_waiters: deque[Waiter] = deque()
        self._dropped = 0
        self._high_water = 0

    def stats(self) -> StreamStats:
        """Its numbers of this moment."""
        with self.lock:
            return StreamStats(self._size(), self._capacity, self._dropped, self._high_water)

    def push(self, event: object) -> PushResult:
        """Add `event` as the overflow policy says, and wake a consumer for it."""
        dropped = []  # freed after the lock, as that may run anybody's code
        with self.lock:
            if self.end is not None:
                return PushResult.CANCELLED
            while self._unclaimed() >= self._capacity:
                if self._overflow != "drop_oldest":
                    self._dropped += 1
                    return PushResult.OVERFLOW if self._overflow == "reject" else PushResult.OK
                dropped.append(self._drop_oldest())
            self._events.append(event)
            self._hand_out()
            self._high_water = max(self._high_water, self._size())
        return PushResult.OK

    def close(self, end: StreamTerminal) -> list[Any] | None:
        """Add the terminal event and wake everybody.

        Returns:
            what was dropped to make room, or `None` when it was closed before.
        """
        dropped = []
        with self.lock:
            if self.end is not None:
                return None
            self.end = end
            self._end_waits = 1
            while self._size() > self._capacity and self._unclaimed():
                dropped.append(self._drop_oldest())
            self._high_water = max(self._high_water, self._size())
            for waiters in (self._takers, self._end_waiters, self._room_waiters):
                while waiters:
                    waiters.popleft().wake()
        return dropped

    def take(self, waiter: Waiter | None = None) -> Any:
        """The next event, what was promised to `waiter` included; or `NOTHING`, or `OVER`."""
        with self.lock:
            if waiter is not None:
                self._redeem(waiter)
            if not self._size():
                return NOTHING if self.end is None else OVER
            if self._events:
                event = self._events.popleft()
                self._tell_room()
                return event
            self._end_waits = 0
            return self.end

    def enter(self, waiter: Waiter) -> None:
        """Have `waiter` woken when `take` is worth trying again. It must `leave`, whatever happens."""
        with self.lock:
            if self.end is None:
                self._takers.append(waiter)
                self._hand_out()
            else:
                waiter.wake()

    def leave(self, waiter: Waiter) -> None:
        """Undo `enter`; one that gave up leaves what it was promised to the next."""
        with self.lock:
            self._redeem(waiter)
            discard(self._takers, waiter)
            self._hand_out()

    def await_end(self, waiter: Waiter) -> None:
        """Have `waiter` woken when there is an end."""
        with self.lock:
            if self.end is None:
                self._end_waiters.append(waiter)
            else:
                waiter.wake()

    def forget(self, waiter: Waiter) -> None:
        """Undo `await_end`."""
        with self.lock:
            discard(self._end_waiters, waiter)

    def await_room(self, waiter: Waiter) -> None:
        """Have `waiter` woken when a push finds room, or there is an end."""
        with self.lock:
            self._room_waiters.append(waiter)
            self._tell_room()

    def has_room(self) -> bool:
        """Whether a push would lose nothing; True at the end, when it takes nothing either."""
        with self.lock:
            return self.end is not None or self._unclaimed() < self._capacity

    def leave_room(self, waiter: Waiter) -> None:
        """Undo `await_room`."""
        with self.lock:
            discard(self._room_waiters, waiter)

    def lost_in_fork(self) -> None:
        """In a forked child: the lock may be held, and the waiters live, in the parent only."""
        self.lock = threading.RLock()
        self._takers.clear()
        self._end_waiters.clear()
        self._room_waiters.clear()
        self._promised = 0

    # -- with the lock held ----------------------------------------------------------------------------------

    def _unclaimed(self) -> int:
        return len(self._events) - self._promised

    def _size(self) -> int:
        return self._unclaimed() + self._end_waits

    def _drop_oldest(self) -> Any:
        event = self._events[self._promised]
        del self._events[self._promised]
        self._dropped += 1
        return event

    def _hand_out(self) -> None:
        while self._takers and self._unclaimed():
            waiter = self._takers.popleft()
            if waiter.wake():
                waiter.promised = True
                self._promised += 1
        self._tell_room()

    def _tell_room(self) -> None:
        if self._room_waiters and (self.end is not None or self._unclaimed() < self._capacity):
            while self._room_waiters:
                self._room_waiters.popleft().wake()

    def _redeem(self, waiter: Waiter) -> None:
        if waiter.promised:
            waiter.promised = False
            self._promised -= 1
