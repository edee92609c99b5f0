"""Who hears a session's events: each with a bounded queue of its own, so that a slow one blocks nobody else."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from beamlens.agent.events import MessageUpdate
from beamlens.agent.gathering import Batch, Gathering
from beamlens.agent.into import crowded
from beamlens.errors import ConfigError
from beamlens_actors import ActorError, ActorRef, EventStream, MailboxFull, PushResult, StreamStats, clock
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent

Overflow = Literal["drop_oldest", "drop_newest", "disconnect", "block"]
DEFAULT_CAPACITY = 1000
BLOCK_TIMEOUT = 5.0
_AGAIN = 0.05


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What a subscriber gets.

    Attributes:
        session_id: The session.
        event: What happened.
        dropped: Events that this subscriber has lost so far, because it was too slow. Pieces that were joined into
            one event count as one.
    """

    session_id: str
    event: AgentEvent
    dropped: int = 0


class Subscription:
    """One subscriber. It ends with `cancel`, with the subscriber, or with the agent.

    Attributes:
        stream: Where the events are, for a subscriber that reads them itself.
        updates: Whether it wants the model's answers in pieces.
    """

    stream: EventStream | None = None

    def __init__(self, session_id: str, wish: Wish, gone: Callable[[Subscription], object]) -> None:
        self._session_id = session_id
        self._overflow = wish.overflow
        self.updates = wish.updates
        self._gone = gone
        self._patience = wish.block_timeout if wish.overflow == "block" else 0.0
        self._late = False
        self._gathering = Gathering(self._deliver, lambda: crowded(self._queue_stats()), wish.batch)

    @property
    def dropped(self) -> int:
        """Events that it has lost."""
        return self._queue_stats().dropped + self._gathering.dropped

    @property
    def merged(self) -> int:
        """Events that were joined into others."""
        return self._gathering.merged

    def stats(self) -> StreamStats:
        """How full its queue is, and what it has lost."""
        return self._queue_stats()._replace(dropped=self.dropped)

    def wait_for_room(self, event: AgentEvent) -> None:
        """Wait until its queue has room, if it is one that may hold up the run; on the run's own thread.

        One that let a wait end in vain is not waited for again until it has caught up: it may be stuck.
        """
        if not self._patience or event.lossy:
            return
        self._late = not self._room_within(0.0 if self._late else self._patience)

    def _room_within(self, _timeout: float) -> bool:
        raise NotImplementedError

    def offer(self, event: AgentEvent) -> None:
        """Queue an event; never blocks."""
        if self.updates or not isinstance(event, MessageUpdate):
            self._gathering.offer(event)

    def cancel(self) -> None:
        """Hear no more."""
        self._gathering.close()
        self._gone(self)

    def end(self) -> None:
        """The agent has ended; what is queued is still delivered."""
        self._gathering.flush()
        self._gathering.close()

    def _deliver(self, event: AgentEvent) -> None:
        raise NotImplementedError

    def _queue_stats(self) -> StreamStats:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Wish:
    """How a subscriber wants its events; see `AgentRef.subscribe`.

    Raises:
        ConfigError: A value that cannot be.
    """

    capacity: int = DEFAULT_CAPACITY
    overflow: Overflow = "drop_oldest"
    batch: Batch | None = None
    updates: bool = True
    block_timeout: float = BLOCK_TIMEOUT

    def __post_init__(self) -> None:
        """Check."""
        given: Any = self  # what was given, whatever its type
        capacity = given.capacity
        if given.overflow not in get_args(Overflow):
            choices = ", ".join(get_args(Overflow))
            raise ConfigError(f"overflow must be one of {choices}, not {given.overflow!r}", field="overflow")
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            raise ConfigError(f"capacity must be a number of at least 1, not {capacity!r}", field="capacity")
        seconds = given.block_timeout
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise ConfigError(f"block_timeout must be seconds above 0, not {seconds!r}", field="block_timeout")
        if not isinstance(given.batch, Batch | None):
            text = f"batch must be a Batch, such as Batch(events=64, seconds=0.1), or None, not {given.batch!r}"
            raise ConfigError(text, field="batch")
        if not isinstance(given.updates, bool):
            raise ConfigError(f"updates must be True or False, not {given.updates!r}", field="updates")


class _ToStream(Subscription):
    def __init__(self, stream: EventStream, *args: Any) -> None:
        super().__init__(*args)
        self.stream = self._stream = stream

    def _queue_stats(self) -> StreamStats:
        return self._stream.stats()

    def _room_within(self, timeout: float) -> bool:
        return self._stream.wait_for_room(timeout)

    def _deliver(self, event: AgentEvent) -> None:
        stream = self._stream
        dropped = stream.stats().dropped + self._gathering.dropped
        pushed = stream.push(SessionEvent(self._session_id, event, dropped))
        if pushed is PushResult.OVERFLOW and self._overflow == "disconnect":
            stream.cancel("too slow")
            self.cancel()
        elif pushed is PushResult.CANCELLED:
            self.cancel()

    def end(self) -> None:
        super().end()
        self._stream.complete()


class _ToActor(Subscription):
    """Hands one event at a time: the next when the actor has handled it. So its mailbox never fills with them."""

    def __init__(self, ref: ActorRef[Any], capacity: int, *args: Any) -> None:
        super().__init__(*args)
        self._ref = ref
        self._capacity = capacity
        self._queue: deque[AgentEvent] = deque()
        self._most = 0
        self._lost = 0
        self._busy = False
        # Re-entrant: an ask may be answered before it returns.
        self._lock = threading.RLock()
        self._room = Condition(self._lock)
        self._over = False
        self._forget = ref.add_exit_callback(lambda _ref, _reason: self._died())

    def _died(self) -> None:
        self._nobody_waits_any_more()
        self._gone(self)

    def _queue_stats(self) -> StreamStats:
        return StreamStats(len(self._queue), self._capacity, self._lost, self._most)

    def _room_within(self, timeout: float) -> bool:
        with self._room:
            return self._room.wait_until(lambda: self._over or len(self._queue) < self._capacity, timeout)

    def _nobody_waits_any_more(self) -> None:
        with self._room:
            self._over = True
            self._room.notify_all()

    def _deliver(self, event: AgentEvent) -> None:
        with self._lock:
            if len(self._queue) >= self._capacity:
                self._lost += 1
                if self._overflow == "disconnect":
                    self._queue.clear()
                    self.cancel()
                    return
                if self._overflow == "drop_newest":
                    return
                self._queue.popleft()
            self._queue.append(event)
            self._most = max(self._most, len(self._queue))
        self._pump()

    def cancel(self) -> None:
        self._forget()
        self._nobody_waits_any_more()
        super().cancel()

    def end(self) -> None:
        self._nobody_waits_any_more()
        super().end()

    def _handled(self) -> None:
        with self._lock:
            self._busy = False
        self._pump()

    def _pump(self) -> None:
        with self._lock:
            while self._queue and not self._busy:
                self._busy = True
                try:
                    if not self._hand_over():
                        continue
                except ActorError:  # it has ended
                    self._queue.clear()
                    return

    def _hand_over(self) -> bool:
        stats = self._ref.mailbox_stats()
        # Looked at before: a mailbox that blocks when it is full (of others' messages) would block us.
        if stats.capacity is not None and stats.size >= stats.capacity:
            clock.call_later(_AGAIN, self._handled)
            return True
        try:
            answer = self._ref.ask(SessionEvent(self._session_id, self._queue[0], self.dropped), block=False)
        except MailboxFull:
            clock.call_later(_AGAIN, self._handled)
            return True
        self._queue.popleft()
        self._room.notify_all()
        if answer.add_done_callback(self._handled):
            return True
        self._busy = False
        return False


class Subscribers:
    """All of a session. Events are offered by one at a time, so each subscriber has them in order."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._all: list[Subscription] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._all)

    def add(self, subscriber: object = None, wish: Wish | None = None) -> Subscription:
        """Add a subscriber; see `AgentRef.subscribe`.

        Raises:
            ConfigError: It can be none.
        """
        wish = wish or Wish()
        added: Subscription
        if isinstance(subscriber, ActorRef):
            added = _ToActor(subscriber, wish.capacity, self._session_id, wish, self._remove)
        elif isinstance(subscriber, EventStream):
            added = _ToStream(subscriber, self._session_id, wish, self._remove)
        elif subscriber is None:
            policy: Any = {"disconnect": "reject", "block": "drop_oldest"}.get(wish.overflow, wish.overflow)
            stream = EventStream(capacity=wish.capacity, overflow=policy, timeout=None)
            added = _ToStream(stream, self._session_id, wish, self._remove)
        else:
            text = f"subscriber must be an ActorRef, an EventStream or None, not {subscriber!r}"
            raise ConfigError(text, field="subscriber")
        with self._lock:
            self._all.append(added)
        if isinstance(subscriber, ActorRef) and not subscriber.is_alive():
            self._remove(added)
        return added

    def want_updates(self) -> bool:
        """Whether anybody wants the model's answers in pieces."""
        with self._lock:
            return any(each.updates for each in self._all)

    def fullest(self) -> StreamStats | None:
        """The queue that is fullest, with what all have lost together; ``None`` without subscribers."""
        with self._lock:
            all_stats = [each.stats() for each in self._all]
        if not all_stats:
            return None
        fullest = max(all_stats, key=lambda stats: stats.size / stats.capacity)
        return fullest._replace(dropped=sum(stats.dropped for stats in all_stats))

    def wait_for_room(self, event: AgentEvent) -> None:
        """Wait for those that may hold up the run, one after the other; on the run's own thread, without a lock."""
        with self._lock:
            everybody = list(self._all)
        for each in everybody:
            each.wait_for_room(event)

    def offer(self, event: AgentEvent) -> None:
        """Queue an event for each."""
        with self._lock:
            everybody = list(self._all)
        for each in everybody:
            each.offer(event)

    def end(self) -> None:
        """The agent has ended."""
        with self._lock:
            everybody, self._all = self._all, []
        for each in everybody:
            each.end()

    def _remove(self, one: Subscription) -> None:
        with self._lock:
            self._all = [each for each in self._all if each is not one]
