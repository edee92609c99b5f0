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
# An empty deque takes 700 bytes, and in a large system many actors have not got a message yet.
_NEVER_USED: deque[Envelope] = deque(maxlen=0)


class QueueMailbox:
    """First in, first out, with a bound. The default mailbox."""

    __slots__ = (
        "_block_timeout",
        "_blocked",
        "_capacity",
        "_dropped",
        "_granted",
        "_high_water",
        "_lock",
        "_overflow",
        "_permits",
        "_queue",
        "_room",
        "_taken",
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
        self._queue = _NEVER_USED
        # Each put takes a permit, which is one step of the interpreter and so needs no lock. They are granted by the
        # batch, never more than there is room for: what was granted and not taken out is in the queue or on its way.
        self._permits: Iterator[None] = iter(())
        self._granted = 0
        self._taken = 0
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
            # Its own ones: what comes too late for the last owner goes to where nobody looks.
            self._permits, self._queue = iter(()), _NEVER_USED
            self._granted = self._taken = 0
            self._waker = waker

    def put(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        """See `Mailbox.put`."""
        # Both before the owner is looked at: they are its own then, and never those of the next one.
        permits, queue = self._permits, self._queue
        if self._waker is not waker:
            raise MailboxClosed
        try:
            next(permits)
        except StopIteration:
            return self._put_slowly(envelope, waker)
        queue.append(envelope)
        if waker.sleeping:
            waker.wake()
        # Whoever closed it meanwhile may have looked through the queue before.
        if self._waker is not waker and any(one is envelope for one in list(queue)):
            raise MailboxClosed
        return None

    def _put_slowly(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        with self._lock:
            if self._waker is not waker:
                raise MailboxClosed
            dropped = self._permit(envelope, waker)
            if dropped is envelope:
                return envelope
            self._queue.append(envelope)
        if waker.sleeping:
            waker.wake()
        return dropped

    def _permit(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        """Get a permit under the lock; returns what was dropped for it, which may be the envelope itself."""
        if self._grant():
            return None
        if self._overflow == "drop_newest":
            self._dropped += 1
            return envelope
        if self._overflow == "drop_oldest":
            return self._drop_oldest(envelope)
        if self._room is None:
            self._refuse()
        else:
            self._wait_for_room(self._room, waker)
        return None

    def _grant(self) -> bool:
        """Take a permit, and grant more for those who come next, if there is room."""
        # Another sender may have had some granted meanwhile.
        if next(self._permits, _NONE_LEFT) is not _NONE_LEFT:
            return True
        granted = self._granted
        queue = deque() if self._queue is _NEVER_USED else self._queue
        room = self._capacity - max(granted - self._taken, len(queue))
        if room <= 0:
            return False
        batch = min(room, _BATCH)
        permits = itertools.repeat(None, batch - 1)
        if self._granted != granted:
            return self._grant()  # a finaliser, which may run wherever something is made, has sent meanwhile
        # In this order: who finds permits finds the queue that belongs to them.
        self._granted, self._queue, self._permits = granted + batch, queue, permits
        return True

    def _drop_oldest(self, envelope: Envelope) -> Envelope:
        # The new one goes in with the permit of the one that goes out.
        self._dropped += 1
        try:
            return self._queue.popleft()
        except IndexError:
            # The owner was faster, or those with permits are on their way: of these this one was the oldest then.
            return envelope

    def _refuse(self) -> None:
        self._dropped += 1
        raise MailboxFull(f"the mailbox holds {len(self._queue)} messages, its capacity")

    def _wait_for_room(self, room: Condition, waker: Waker) -> None:
        cell = context.current_cell()
        if (cell is not None and cell.waker is waker) or not context.may_block():
            self._refuse()
        self._blocked += 1
        try:
            granted = room.wait_until(lambda: self._waker is not waker or self._grant(), self._block_timeout)
        finally:
            self._blocked -= 1
        if self._waker is not waker:
            raise MailboxClosed
        if not granted:
            self._refuse()

    def get(self) -> Envelope | None:
        """See `Mailbox.get`."""
        size = len(self._queue)
        if not size:
            return None
        # The queue only grows between two gets, so this sees every peak and senders need not look.
        if size > self._high_water:  # noqa: PLR1730 - max() is a call, on the hot path
            self._high_water = size
        try:
            envelope = self._queue.popleft()
        except IndexError:  # dropped by a sender meanwhile
            return None
        self._taken += 1
        if self._blocked and self._room is not None:
            with self._room:
                self._room.notify()
        return envelope

    def close(self, waker: Waker) -> list[Envelope]:
        """See `Mailbox.close`."""
        with self._lock:
            if self._waker is not waker:
                return []
            self._waker = None
            self._high_water = max(self._high_water, len(self._queue))
            left = self._drain()
            if self._room is not None:
                self._room.notify_all()
        return left

    def _drain(self) -> list[Envelope]:
        left: list[Envelope] = []
        while self._queue:
            try:
                left.append(self._queue.popleft())
            except IndexError:
                break
        return left

    def stats(self) -> MailboxStats:
        """See `Mailbox.stats`. A refused message counts as dropped."""
        size = len(self._queue)
        return MailboxStats(size, self._capacity, self._dropped, max(self._high_water, size))

    def lost_in_fork(self) -> None:
        """In a forked child: locks that another thread may have held are replaced."""
        self._fresh_locks()
        self._blocked = 0
