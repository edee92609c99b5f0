"""Mailboxes: what an actor's messages wait in.

System messages (stop, exit, down) are not in here: each actor keeps them in a lane of its own that is read
first.

To write another mailbox, implement `Mailbox`, or subclass `QueueMailbox` and add a lane:

    class AlertInbox(QueueMailbox):
        def offer(self, alert):              # any thread, not through tell; may happen while no actor is
        bound
            self._alerts.append(alert)
            self.wake()
        def bind(self, waker):               # a new actor takes over what the last one left
            super().bind(waker)
            self.wake()
        def get(self):                       # the owner, between two messages
            return super().get() or ((self._alerts.popleft(), None) if self._alerts else None)

`close` of such a mailbox returns (and thereby fails) the envelopes of the ended actor and keeps its own lane.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

from beamlens_actors import context
from beamlens_actors.errors import InvalidOption, MailboxClosed, MailboxFull, MailboxInUse
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from beamlens_actors.messages import Envelope

Overflow = Literal["reject", "drop_oldest", "drop_newest", "block"]
DEFAULT_CAPACITY = 10_000
_POLICIES: tuple[str, ...] = get_args(Overflow)


class MailboxStats(NamedTuple):
    """A mailbox at one moment: messages in it, its limit, how many it ever dropped, the most it ever held."""

    size: int
    capacity: int | None
    dropped: int
    high_water: int


class Waker(Protocol):
    """The owning actor, as its mailbox sees it. Also the token that says whose message is put."""

    sleeping: bool
    """Whether the actor found nothing and waits; a `wake` that is not needed may be skipped when False."""

    def wake(self) -> None:
        """Make the actor look into its mailbox. Any thread; never blocks; more often than needed is fine."""
        ...


class Mailbox(Protocol):
    """What `options(mailbox=...)` takes. It may outlive its actor and be bound to the next one."""

    def bind(self, waker: Waker) -> None:
        """A new owner, before its `on_start`. Raises `MailboxInUse` while another owner is alive."""
        ...

    def put(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        """Take `envelope`, meant for the actor of `waker`, from any thread, and wake it.

        Returns:
            what was dropped to make room (also the envelope itself), or `None`.

        Raises:
            MailboxClosed: that actor is not the owner now.
            MailboxFull: not taken.
        """
        ...

    def get(self) -> Envelope | None:
        """The next message, or `None`; only the owner calls it. Must not block."""
        ...

    def close(self, waker: Waker) -> list[Envelope]:
        """The owner ended: unbind it and return its messages, which then fail. Idempotent."""
        ...

    def stats(self) -> MailboxStats:
        """The numbers of this moment, from any thread."""
        ...


_BATCH = 64
_NONE_LEFT = object()
_NO_PERMITS: Iterator[None] = iter(())
# An empty deque takes 700 bytes, and in a large system many actors have not got a message yet.
_NEVER_USED: deque[Envelope] = deque(maxlen=0)


class Lane:
    """What one owner gets through a `QueueMailbox`; each owner has its own, and none after its end.

    To put a message is to take a permit and append, and to look then whether the owner sleeps, and whether the lane
    was closed meanwhile. Each is one step of the interpreter, so it needs no lock. Permits are granted by the batch,
    never more than there is room for: what was granted and not taken out is in the queue or on its way.
    """

    __slots__ = ("closed", "granted", "high_water", "permits", "queue", "taken")

    def __init__(self) -> None:
        self.permits = _NO_PERMITS
        self.queue = _NEVER_USED
        self.granted = 0
        self.taken = 0
        self.high_water = 0
        self.closed = False

    def holds(self, envelope: Envelope) -> bool:
        """Whether it is in the queue: once the lane is closed, nobody will look there."""
        return any(one is envelope for one in list(self.queue))

    def take(self) -> Envelope | None:
        """The next message; only the owner calls it."""
        size = len(self.queue)
        if not size:
            return None
        # The queue only grows between two of them, so this sees every peak and senders need not look.
        if size > self.high_water:  # noqa: PLR1730 - max() is a call, on the hot path
            self.high_water = size
        try:
            envelope = self.queue.popleft()
        except IndexError:  # dropped by a sender meanwhile
            return None
        self.taken += 1
        return envelope

    def close(self) -> list[Envelope]:
        """Shut it, and return what is left."""
        self.permits = _NO_PERMITS
        self.closed = True
        self.high_water = max(self.high_water, len(self.queue))
        left: list[Envelope] = []
        while self.queue:
            try:
                left.append(self.queue.popleft())
            except IndexError:
                break
        return left


NO_LANE = Lane()
"""Where nothing is put and nothing found: every sender and owner turns to the mailbox itself."""
NO_LANE.close()


class QueueMailbox:
    """First in, first out, with a bound. The default mailbox."""

    __slots__ = (
        "_block_timeout",
        "_blocked",
        "_capacity",
        "_dropped",
        "_high_water",
        "_lane",
        "_lock",
        "_overflow",
        "_room",
        "_waker",
    )

    def __init__(
        self, capacity: int = DEFAULT_CAPACITY, overflow: Overflow = "reject", block_timeout: float = 5.0
    ) -> None:
        """Make an unbound mailbox.

        Args:
            capacity: the most messages that wait, at least 1.
            overflow: what happens to one more: `reject` and `block` (after `block_timeout` seconds) raise
                `MailboxFull` in the sender, `drop_oldest` and `drop_newest` lose one and count it.
            block_timeout: seconds that a sender waits for room.

        Raises:
            InvalidOption: a value that cannot be.
        """
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            raise InvalidOption(f"capacity must be a whole number of at least 1, not {capacity!r}")
        if overflow not in _POLICIES:
            raise InvalidOption(f"overflow must be one of {', '.join(_POLICIES)}, not {overflow!r}")
        if not isinstance(block_timeout, (int, float)):
            raise InvalidOption(f"block_timeout must be a number of seconds, not {block_timeout!r}")
        if not block_timeout >= 0:
            raise InvalidOption(f"block_timeout must not be negative, but is {block_timeout!r}")
        self._capacity = capacity
        self._overflow = overflow
        self._block_timeout = block_timeout
        self._lane = NO_LANE
        self._dropped = 0
        self._high_water = 0
        self._waker: Waker | None = None
        self._blocked = 0
        self._fresh_locks()

    def _fresh_locks(self) -> None:
        # Re-entrant: a finaliser or signal handler may send while its thread is inside put.
        self._lock = threading.RLock()
        self._room = Condition(self._lock) if self._overflow == "block" else None

    @property
    def waker(self) -> Waker | None:
        """The owner's waker, `None` while unbound."""
        return self._waker

    def wake(self) -> None:
        """Make the owner, if there is one, call `get` soon. Any thread; never blocks."""
        waker = self._waker
        if waker is not None:
            waker.wake()

    def bind(self, waker: Waker) -> None:
        """See `Mailbox.bind`."""
        with self._lock:
            if self._waker is not None:
                raise MailboxInUse("this mailbox belongs to an actor that is alive")
            self._lane = Lane()
            self._waker = waker

    def put(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        """See `Mailbox.put`. `ActorRef.tell` does the same without calling it."""
        lane = self._lane
        # After the lane was looked at: it is this owner's then, or closed, and never that of the next one.
        if self._waker is not waker:
            raise MailboxClosed
        for _permit in lane.permits:
            lane.queue.append(envelope)
            if waker.sleeping:
                waker.wake()
            if lane.closed and lane.holds(envelope):
                raise MailboxClosed
            return None
        return self._put_slowly(envelope, waker)

    def _put_slowly(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        with self._lock:
            if self._waker is not waker:
                raise MailboxClosed
            lane = self._lane
            dropped = self._permit(lane, envelope, waker)
            if dropped is envelope:
                return envelope
            lane.queue.append(envelope)
        if waker.sleeping:
            waker.wake()
        return dropped

    def _permit(self, lane: Lane, envelope: Envelope, waker: Waker) -> Envelope | None:
        """Get a permit under the lock; returns what was dropped for it, which may be the envelope itself."""
        if self._grant(lane):
            return None
        if self._overflow == "drop_newest":
            self._dropped += 1
            return envelope
        if self._overflow == "drop_oldest":
            return self._drop_oldest(lane, envelope)
        if self._room is None:
            self._refuse(lane)
        else:
            self._wait_for_room(self._room, lane, waker)
        return None

    def _grant(self, lane: Lane) -> bool:
        """Take a permit, and grant more for those who come next, if there is room."""
        # Another sender may have had some granted meanwhile.
        if next(lane.permits, _NONE_LEFT) is not _NONE_LEFT:
            return True
        granted = lane.granted
        queue = deque() if lane.queue is _NEVER_USED else lane.queue
        room = self._capacity - max(granted - lane.taken, len(queue))
        if room <= 0:
            return False
        batch = min(room, _BATCH)
        permits = itertools.repeat(None, batch - 1)
        if lane.granted != granted:
            return self._grant(lane)  # a finaliser, which may run wherever something is made, has sent meanwhile
        # In this order: who finds permits finds the queue that belongs to them.
        lane.granted, lane.queue, lane.permits = granted + batch, queue, permits
        return True

    def _drop_oldest(self, lane: Lane, envelope: Envelope) -> Envelope:
        # The new one goes in with the permit of the one that goes out.
        self._dropped += 1
        try:
            return lane.queue.popleft()
        except IndexError:
            # The owner was faster, or those with permits are on their way: of these this one was the oldest then.
            return envelope

    def _refuse(self, lane: Lane) -> None:
        self._dropped += 1
        raise MailboxFull(f"the mailbox holds {len(lane.queue)} messages, its capacity")

    def _wait_for_room(self, room: Condition, lane: Lane, waker: Waker) -> None:
        cell = context.current_cell()
        if (cell is not None and cell.waker is waker) or not context.may_block():
            self._refuse(lane)
        self._blocked += 1
        try:
            granted = room.wait_until(lambda: lane.closed or self._grant(lane), self._block_timeout)
        finally:
            self._blocked -= 1
        if lane.closed:
            raise MailboxClosed
        if not granted:
            self._refuse(lane)

    def get(self) -> Envelope | None:
        """See `Mailbox.get`."""
        envelope = self._lane.take()
        if self._blocked and envelope is not None and self._room is not None:
            with self._room:
                self._room.notify()
        return envelope

    def close(self, waker: Waker) -> list[Envelope]:
        """See `Mailbox.close`."""
        with self._lock:
            if self._waker is not waker:
                return []
            self._waker = None
            left = self._lane.close()
            self._high_water = max(self._high_water, self._lane.high_water)
            if self._room is not None:
                self._room.notify_all()
        return left

    def stats(self) -> MailboxStats:
        """See `Mailbox.stats`. A refused message counts as dropped."""
        lane = self._lane
        size = len(lane.queue)
        return MailboxStats(size, self._capacity, self._dropped, max(self._high_water, lane.high_water, size))

    def lost_in_fork(self) -> None:
        """In a forked child: locks that another thread may have held are replaced."""
        self._fresh_locks()
        self._blocked = 0


def direct_lane(mailbox: Mailbox) -> Lane:
    """What the owner of `mailbox` and those who send to it may use instead of `get` and `put`.

    There is none where these do more: in a subclass, and where senders wait for room.
    """
    if type(mailbox) is QueueMailbox and mailbox._room is None:  # noqa: SLF001 - this module's own
        return mailbox._lane  # noqa: SLF001
    return NO_LANE


def waiting_in(mailbox: Mailbox) -> int:
    """How many messages are in a mailbox, for whoever counts those of thousands: a tenth of the cost of `stats`."""
    return len(mailbox._lane.queue) if type(mailbox) is QueueMailbox else mailbox.stats().size  # noqa: SLF001
