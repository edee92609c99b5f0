from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beamlens_actors import (
    ActorDead,
    Envelope,
    Killed,
    MailboxClosed,
    MailboxFull,
    MailboxInUse,
    MailboxStats,
    QueueMailbox,
    Waker,
)
from beamlens_actors import mailbox as mailboxes
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, busy

if TYPE_CHECKING:
    from collections.abc import Iterator


class CountingWaker:
    def __init__(self) -> None:
        self.sleeping = True
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class MailboxMachine(RuleBasedStateMachine):
    """The default mailbox against a list, with one owner after the other."""

    @initialize(capacity=st.integers(1, 4), overflow=st.sampled_from(["reject", "drop_oldest", "drop_newest"]))
    def make(self, capacity: int, overflow: Any) -> None:
        self.capacity, self.overflow = capacity, overflow
        self.mailbox = QueueMailbox(capacity, overflow)
        self.owner: CountingWaker | None = None
        self.former = CountingWaker()
        self.model: list[Envelope] = []
        self.dropped = self.peak = self.sent = 0

    @precondition(lambda self: self.owner is None)
    @rule()
    def bind(self) -> None:
        self.owner = CountingWaker()
        self.mailbox.bind(self.owner)

    @precondition(lambda self: self.owner is not None)
    @rule()
    def bind_twice(self) -> None:
        with pytest.raises(MailboxInUse):
            self.mailbox.bind(CountingWaker())

    @rule()
    def put_for_a_former_owner(self) -> None:
        with pytest.raises(MailboxClosed):
            self.mailbox.put(("late", None), self.former)

    @precondition(lambda self: self.owner is not None)
    @rule()
    def put(self) -> None:
        assert self.owner is not None
        self.sent += 1
        envelope: Envelope = (self.sent, None)
        full = len(self.model) == self.capacity
        woken = self.owner.woken
        if full and self.overflow == "reject":
            with pytest.raises(MailboxFull):
                self.mailbox.put(envelope, self.owner)
            self.dropped += 1
            return
        dropped = self.mailbox.put(envelope, self.owner)
        self.dropped += full
        if full and self.overflow == "drop_newest":
            assert dropped is envelope
            return
        assert dropped == (self.model.pop(0) if full else None)
        assert self.owner.woken == woken + 1
        self.model.append(envelope)
        self.peak = max(self.peak, len(self.model))

    @precondition(lambda self: self.owner is not None)
    @rule()
    def get(self) -> None:
        assert self.mailbox.get() == (self.model.pop(0) if self.model else None)

    @precondition(lambda self: self.owner is not None)
    @rule()
    def close(self) -> None:
        assert self.owner is not None
        assert self.mailbox.close(self.owner) == self.model
        assert self.mailbox.close(self.owner) == []
        self.former, self.owner, self.model = self.owner, None, []

    @invariant()
    def numbers_are_exact(self) -> None:
        if hasattr(self, "model"):
            assert self.mailbox.stats() == (len(self.model), self.capacity, self.dropped, self.peak)


TestMailboxMachine = MailboxMachine.TestCase
TestMailboxMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("overflow", ["reject", "drop_oldest", "drop_newest", "block"])
@pytest.mark.parametrize("permits", [0, 1])
def test_what_comes_too_late_for_its_actor_never_reaches_the_next_one(overflow: Any, permits: int) -> None:
    mailbox = QueueMailbox(2, overflow, block_timeout=0)
    first, second = CountingWaker(), CountingWaker()
    mailbox.bind(first)
    mailbox.put(("early", None), first)

    def changes_hands() -> Iterator[None]:
        assert mailbox.close(first) == [("early", None)]
        mailbox.bind(second)
        yield from [None] * permits

    mailbox._lane.permits = changes_hands()
    with pytest.raises(MailboxClosed):
        mailbox.put(("late", None), first)
    assert mailbox.stats().size == 0
    for number in range(2):
        mailbox.put((number, None), second)
    assert [mailbox.get(), mailbox.get(), mailbox.get()] == [(0, None), (1, None), None]


def test_what_a_finaliser_sends_while_another_message_is_put_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox, waker = QueueMailbox(2), CountingWaker()
    mailbox.bind(waker)

    def interrupted(make: Any) -> Any:
        def call(*args: Any) -> Any:
            monkeypatch.undo()
            mailbox.put(("finaliser's", None), waker)
            return make(*args)

        return call

    for module, name in ((mailboxes, "deque"), (itertools, "repeat")):
        monkeypatch.setattr(module, name, interrupted(getattr(module, name)))
        mailbox.put(("own", None), waker)
        with pytest.raises(MailboxFull):
            mailbox.put(("one too many", None), waker)
        assert [mailbox.get(), mailbox.get(), mailbox.get()] == [("finaliser's", None), ("own", None), None]


def test_block_waits_for_room_and_keeps_the_message(gate: threading.Event) -> None:
    log: list[Any] = []
    ref = Recorder.options(capacity=1, overflow="block").start(log)
    with FakeClock() as clock:
        busy(ref, gate)
        ref.tell("a")
        sender = threading.Thread(target=ref.tell, args=("b",))
        sender.start()
        clock.wait_for_waiters(1)
        gate.set()
        sender.join(LIMIT)
        assert not sender.is_alive()
    assert ref.ask("c", timeout=LIMIT) == "c"
    assert log[2:] == ["a", "b", "c"]


def test_block_gives_up_after_block_timeout_on_the_clock(gate: threading.Event) -> None:
    ref = Recorder.options(capacity=1, overflow="block", block_timeout=2.0).start()
    refused = threading.Event()

    def send() -> None:
        with pytest.raises(MailboxFull):
            ref.tell("b")
        refused.set()

    with FakeClock() as clock:
        busy(ref, gate)
        ref.tell("a")
        threading.Thread(target=send).start()
        clock.wait_for_waiters(1)
        clock.advance(2.0)
        assert refused.wait(LIMIT)
    assert ref.mailbox_stats().dropped == 1


def test_blocked_sender_is_let_go_when_the_actor_ends(gate: threading.Event) -> None:
    ref = Recorder.options(capacity=1, overflow="block").start()
    dead = threading.Event()

    def send() -> None:
        with pytest.raises(ActorDead):
            ref.tell("b")
        dead.set()

    with FakeClock() as clock:
        busy(ref, gate)
        ref.tell("a")
        threading.Thread(target=send).start()
        clock.wait_for_waiters(1)
        ref.kill()
        assert dead.wait(LIMIT)
    gate.set()


def test_block_is_refused_to_oneself_and_on_an_event_loop(gate: threading.Event) -> None:
    ref = Recorder.options(capacity=1, overflow="block").start()

    def fill_self(actor: Any) -> str:
        actor.actor_ref.tell("a")
        with pytest.raises(MailboxFull):
            actor.actor_ref.tell("b")
        return "refused"

    assert ref.ask(("do", fill_self), timeout=LIMIT) == "refused"

    async def send() -> None:
        with pytest.raises(MailboxFull):
            ref.tell("d")

    busy(ref, gate)
    ref.tell("c")
    asyncio.run(send())


class Inbox(QueueMailbox):
    """A mailbox with a lane of its own that outlives its actors, as the Coordinator's."""

    def __init__(self) -> None:
        super().__init__(capacity=2)
        self.lane: deque[Any] = deque()

    def offer(self, item: Any) -> None:
        self.lane.append(item)
        self.wake()

    def bind(self, waker: Waker) -> None:
        super().bind(waker)
        self.wake()

    def get(self) -> Envelope | None:
        return super().get() or ((self.lane.popleft(), None) if self.lane else None)


def test_foreign_lane_wakes_the_actor_and_outlives_it(gate: threading.Event) -> None:
    inbox, log = Inbox(), []  # type: ignore[var-annotated]
    inbox.offer("before")
    first = Recorder.options(mailbox=inbox).start(log)
    inbox.offer("one")
    assert first.ask("sync") == "sync"
    ended: list[Any] = []
    first.add_exit_callback(lambda ref, reason: ended.append(reason))
    busy(first, gate)
    question = first.ask("lost", block=False)
    inbox.offer("two")
    first.kill()
    with pytest.raises(ActorDead):
        question.get(timeout=0)
    assert ended == [Killed()]
    gate.set()
    second_log: list[Any] = []
    arrived = threading.Event()

    class Second(Recorder):
        def on_receive(self, message: Any) -> Any:
            super().on_receive(message)
            arrived.set()

    Second.options(mailbox=inbox).start(second_log)
    assert arrived.wait(LIMIT)
    assert second_log == ["start", "two"]
    assert {"before", "one"} <= {item for item in log if isinstance(item, str)}


def test_foreign_wake_alone_delivers_while_the_actor_is_parked() -> None:
    inbox = Inbox()
    got: deque[Any] = deque()
    arrived = threading.Semaphore(0)

    class Takes(Recorder):
        def on_receive(self, message: Any) -> Any:
            got.append(message)
            arrived.release()

    Takes.options(mailbox=inbox).start()
    for number in range(500):
        inbox.offer(number)
        assert arrived.acquire(timeout=LIMIT)
    assert list(got) == list(range(500))


class Minimal:
    """The least that a mailbox must be: it implements the protocol and inherits nothing."""

    def __init__(self) -> None:
        self.queue: deque[Envelope] = deque()
        self.waker: Waker | None = None

    def bind(self, waker: Waker) -> None:
        self.waker = waker

    def put(self, envelope: Envelope, waker: Waker) -> Envelope | None:
        if self.waker is not waker:
            raise MailboxClosed
        self.queue.append(envelope)
        waker.wake()
        return None

    def get(self) -> Envelope | None:
        return self.queue.popleft() if self.queue else None

    def close(self, waker: Waker) -> list[Envelope]:
        self.waker = None
        left = list(self.queue)
        self.queue.clear()
        return left

    def stats(self) -> MailboxStats:
        return MailboxStats(len(self.queue), None, 0, 0)


def test_any_object_with_the_five_methods_is_a_mailbox() -> None:
    ref = Recorder.options(mailbox=Minimal()).start()
    assert ref.ask("x") == "x"
    assert ref.mailbox_stats().capacity is None
    ref.stop()
    with pytest.raises(ActorDead):
        ref.tell("y")


def test_mailbox_that_raises_ends_its_actor() -> None:
    class Broken(Minimal):
        def get(self) -> Envelope | None:
            if self.queue:
                raise OSError("broken")
            return None

    ref = Recorder.options(mailbox=Broken()).start()
    ref.tell("x")
    reason = ref.join(LIMIT)
    assert isinstance(reason.exception, OSError)  # type: ignore[attr-defined]
