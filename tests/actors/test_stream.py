from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import math
import os
import signal
import threading
import weakref
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beamlens_actors import (
    AbortSignal,
    ActorError,
    Crash,
    EventStream,
    InvalidOption,
    Killed,
    Normal,
    PushResult,
    ResultTimeout,
    Shutdown,
    StreamCancelled,
    StreamCancelledError,
    StreamEnd,
    StreamError,
    StreamFailed,
    StreamStats,
    clock,
)
from beamlens_actors.stream_queue import OVER, StreamQueue
from beamlens_actors.testing import FakeClock
from beamlens_actors.waiters import Waiter
from tests.actors.helpers import LIMIT, Recorder, Refused, busy

POLICIES = ["reject", "drop_oldest", "drop_newest"]
TERMINALS = {
    "complete": StreamEnd("end"),
    "error": StreamError("end"),
    "cancel": StreamCancelled("end"),
}


class Consumer(threading.Thread):
    """Iterates over a stream and keeps what it gets."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.got: list[Any] = []
        self.start()

    def run(self) -> None:
        for event in self.stream:
            self.got.append(event)

    def finish(self) -> list[Any]:
        self.join(LIMIT)
        assert not self.is_alive()
        return self.got


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Acquired once for each consumer that waits for an event, or for the end, from then on."""
    entered = threading.Semaphore(0)

    def telling(original: Any) -> Any:
        def entering(queue: Any, waiter: Any) -> None:
            original(queue, waiter)
            entered.release()

        return entering

    for name in ("enter", "await_end"):
        monkeypatch.setattr(StreamQueue, name, telling(getattr(StreamQueue, name)))
    return entered


def in_thread(fn: Any) -> concurrent.futures.Future[Any]:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(fn())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# -- events and ends -------------------------------------------------------------------------------------------------


def test_events_come_in_order_and_the_terminal_event_last() -> None:
    stream = EventStream()
    assert [stream.push(n) for n in range(3)] == [PushResult.OK] * 3
    stream.complete("done")
    assert list(stream) == [0, 1, 2, StreamEnd("done")]
    assert list(stream) == []
    assert stream.result() == "done"


def test_error_ends_with_reason_and_partial_result() -> None:
    stream = EventStream()
    stream.push(1)
    stream.error("broken", partial=[1])
    assert list(stream) == [1, StreamError("broken", [1])]
    with pytest.raises(StreamFailed, match="broken") as caught:
        stream.result()
    assert (caught.value.reason, caught.value.partial, caught.value.cause) == ("broken", [1], None)


def test_cancel_hands_out_what_was_buffered_and_then_the_real_reason() -> None:
    stream = EventStream()
    stream.push(1)
    stream.cancel("unwanted")
    assert list(stream) == [1, StreamCancelled("unwanted")]
    with pytest.raises(StreamCancelledError, match=r"^the stream was cancelled: unwanted$") as caught:
        stream.result()
    assert caught.value.reason == "unwanted"
    assert isinstance(caught.value, StreamFailed | ActorError)


@pytest.mark.parametrize("first", TERMINALS)
@pytest.mark.parametrize("second", TERMINALS)
def test_first_terminal_wins(first: str, second: str) -> None:
    stream = EventStream()
    assert stream.end is None
    assert getattr(stream, first)("end") is True
    assert getattr(stream, second)("late") is False
    assert stream.push("late") is PushResult.CANCELLED
    assert stream.end == TERMINALS[first]
    assert list(stream) == [TERMINALS[first]]
    assert stream.push("later") == "cancelled"
    assert list(stream) == []


def test_pushed_terminal_event_is_an_event_like_any_other() -> None:
    stream = EventStream()
    stream.push(StreamEnd(1))
    assert next(stream) == StreamEnd(1)
    assert stream.end is None
    assert stream.push(2) is PushResult.OK


@pytest.mark.parametrize(
    ("overflow", "answer", "kept"),
    [("reject", "overflow", [1, 2]), ("drop_oldest", "ok", [2, 3]), ("drop_newest", "ok", [1, 2])],
)
def test_push_to_a_full_stream(overflow: Any, answer: str, kept: list[int]) -> None:
    stream = EventStream(capacity=2, overflow=overflow)
    stream.push(1)
    stream.push(2)
    assert stream.push(3) == answer
    assert stream.stats() == StreamStats(size=2, capacity=2, dropped=1, high_water=2)
    assert [next(stream), next(stream)] == kept
    assert stream.stats() == StreamStats(size=0, capacity=2, dropped=1, high_water=2)


@pytest.mark.parametrize("overflow", POLICIES)
@pytest.mark.parametrize("end", TERMINALS)
def test_terminal_event_of_a_full_stream_drops_the_oldest(overflow: Any, end: str) -> None:
    stream = EventStream(capacity=2, overflow=overflow)
    stream.push(1)
    stream.push(2)
    getattr(stream, end)("end")
    assert stream.stats() == StreamStats(size=2, capacity=2, dropped=1, high_water=2)
    assert list(stream) == [2, TERMINALS[end]]


def test_repr_tells_state_and_size() -> None:
    stream = EventStream(capacity=5)
    stream.push(1)
    assert repr(stream) == "<EventStream open, 1 of 5 events>"
    stream.complete()
    assert repr(stream) == "<EventStream StreamEnd(result=None), 2 of 5 events>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"owner": 1}, "owner must be an ActorRef or None, not 1"),
        ({"capacity": 0}, "capacity must be a whole number of at least 1, not 0"),
        ({"capacity": True}, "capacity must be a whole number of at least 1, not True"),
        ({"overflow": "block"}, "overflow must be one of reject, drop_oldest, drop_newest, not 'block'"),
        ({"timeout": -1}, "timeout must be None or seconds, not negative, but is -1"),
        ({"timeout": math.nan}, "timeout must be None or seconds, not negative, but is nan"),
        ({"timeout": "1"}, "timeout must be None or seconds, not negative, but is '1'"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        EventStream(**options)
    assert str(caught.value) == message


# -- consumers on threads --------------------------------------------------------------------------------------------


def test_waiting_consumer_gets_each_event(parked: threading.Semaphore) -> None:
    stream = EventStream(capacity=1)
    consumer = Consumer(stream)
    for n in range(20):
        assert parked.acquire(timeout=LIMIT)
        assert stream.push(n) is PushResult.OK
        assert stream.stats() == StreamStats(0, 1, 0, 0)
    assert parked.acquire(timeout=LIMIT)
    stream.complete()
    assert consumer.finish() == [*range(20), StreamEnd()]


@pytest.mark.parametrize("overflow", POLICIES)
def test_event_for_a_waiting_consumer_takes_no_room_and_is_not_dropped(overflow: Any) -> None:
    queue = StreamQueue(1, overflow)
    waiter = Waiter(lambda: True)
    queue.enter(waiter)
    assert [queue.push("handed"), queue.push("buffered")] == ["ok", "ok"]
    assert queue.stats() == StreamStats(1, 1, 0, 1)
    queue.push("one more")
    assert queue.stats() == StreamStats(1, 1, 1, 1)
    assert queue.take(waiter) == "handed"
    assert queue.take() == ("one more" if overflow == "drop_oldest" else "buffered")


def test_terminal_event_goes_out_last_also_when_another_consumer_is_faster_than_the_one_woken() -> None:
    queue = StreamQueue(1, "reject")
    waiter = Waiter(lambda: True)
    queue.enter(waiter)
    queue.push("event")
    queue.close(StreamEnd())
    assert queue.take() == "event"
    assert queue.take() is OVER
    assert queue.take(waiter) == StreamEnd()
    assert queue.take() is OVER
    assert queue.stats() == StreamStats(0, 1, 0, 1)


def test_consumer_that_comes_just_after_the_end_is_woken() -> None:
    queue, asleep = StreamQueue(1, "reject"), threading.Semaphore(2)
    queue.close(StreamEnd())
    queue.enter(Waiter(lambda: asleep.acquire(blocking=False)))
    queue.await_end(Waiter(lambda: asleep.acquire(blocking=False)))
    assert not asleep.acquire(blocking=False)
    assert queue.close(StreamEnd()) is None


def test_bound_holds_again_after_a_consumer_gave_its_event_back() -> None:
    queue = StreamQueue(1, "drop_oldest")
    waiter = Waiter(lambda: True)
    queue.enter(waiter)
    queue.push("given back")
    queue.push("buffered")
    queue.leave(waiter)
    assert queue.stats() == StreamStats(2, 1, 0, 1)
    queue.push("newest")
    assert queue.stats() == StreamStats(1, 1, 2, 1)
    assert queue.take() == "newest"


def test_interrupted_consumer_leaves_its_event_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = EventStream()

    def interrupted(*args: object) -> bool:
        stream.push("event")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(clock, "acquire", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    assert stream.stats().size == 1
    assert next(stream) == "event"


def test_end_wakes_all_who_wait_and_one_consumer_gets_it(parked: threading.Semaphore) -> None:
    stream = EventStream()
    consumers = [Consumer(stream) for _ in range(3)]
    results = [in_thread(stream.result) for _ in range(2)]
    for _ in range(5):
        assert parked.acquire(timeout=LIMIT)
    stream.cancel("enough")
    assert sorted(consumer.finish() for consumer in consumers) == [[], [], [StreamCancelled("enough")]]
    for result in results:
        assert isinstance(result.exception(LIMIT), StreamCancelledError)


def test_result_waits_for_the_end_and_takes_no_event(parked: threading.Semaphore) -> None:
    stream = EventStream()
    stream.push(1)
    result = in_thread(lambda: stream.result(timeout=None))
    assert parked.acquire(timeout=LIMIT)
    stream.complete("value")
    assert result.result(LIMIT) == "value"
    assert stream.stats().size == 2


def test_result_timeout_is_on_the_clock() -> None:
    with FakeClock() as fake:
        stream = EventStream(timeout=None)
        result = in_thread(lambda: stream.result(timeout=5))
        fake.wait_for_waiters(1)
        fake.advance(5)
        error = result.exception(LIMIT)
        assert isinstance(error, ResultTimeout)
        assert isinstance(error, TimeoutError)
        assert str(error) == "the stream is still open after 5 s"
        with pytest.raises(ResultTimeout):
            stream.result(timeout=0)
        assert not stream._queue._end_waiters
        stream.complete(1)
        assert stream.result(timeout=0) == 1


def test_push_from_inside_the_lock_does_not_hang() -> None:
    stream = EventStream()
    with stream._queue.lock:
        assert stream.push(1) is PushResult.OK


@pytest.mark.parametrize("overflow", POLICIES)
def test_many_producers_and_consumers_lose_and_repeat_nothing_and_keep_each_producers_order(overflow: Any) -> None:
    producers, each = 4, 1000
    stream = EventStream(capacity=producers * each + 1, overflow=overflow)
    consumers = [Consumer(stream) for _ in range(3)]

    def produce(name: int) -> list[PushResult]:
        return [stream.push((name, n)) for n in range(each)]

    pushed = [in_thread(lambda name=name: produce(name)) for name in range(producers)]
    assert {answer for future in pushed for answer in future.result(LIMIT)} == {PushResult.OK}
    stream.complete("done")
    got = [consumer.finish() for consumer in consumers]
    assert sorted(event for events in got for event in events if event != StreamEnd("done")) == [
        (name, n) for name in range(producers) for n in range(each)
    ]
    assert sum(events.count(StreamEnd("done")) for events in got) == 1
    for events in got:
        for name in range(producers):
            mine = [event[1] for event in events if event != StreamEnd("done") and event[0] == name]
            assert mine == sorted(mine)
    assert stream.stats()[:3] == (0, producers * each + 1, 0)


def test_small_stream_under_load_accounts_for_every_event() -> None:
    stream = EventStream(capacity=3)
    consumers = [Consumer(stream) for _ in range(3)]
    pushed = [in_thread(lambda: [stream.push(n) for n in range(1000)]) for _ in range(3)]
    answers = [answer for future in pushed for answer in future.result(LIMIT)]
    stream.complete()
    got = sum(len(consumer.finish()) for consumer in consumers) - 1
    stats = stream.stats()
    assert got + stats.dropped == 3000
    assert 0 <= stats.dropped - answers.count(PushResult.OVERFLOW) <= 1
    assert (stats.size, stats.high_water <= 3) == (0, True)


# -- limits of a stream's life ---------------------------------------------------------------------------------------


def test_stream_is_cancelled_when_its_time_is_over_however_busy() -> None:
    with FakeClock() as fake:
        stream = EventStream()
        fake.advance(299)
        assert stream.push(1) is PushResult.OK
        fake.advance(1)
        assert list(stream) == [1, StreamCancelled("timeout")]


@pytest.mark.parametrize("end", TERMINALS)
def test_end_cancels_the_timer(end: str) -> None:
    with FakeClock() as fake:
        stream = EventStream(timeout=5)
        assert fake.waiters() == 1
        getattr(stream, end)("end")
        assert fake.waiters() == 0
        fake.advance(5)
        assert list(stream) == [TERMINALS[end]]


@pytest.mark.parametrize("timeout", [None, math.inf])
def test_stream_without_a_time_limit_has_no_timer(timeout: float | None) -> None:
    with FakeClock() as fake:
        stream = EventStream(timeout=timeout)
        assert fake.waiters() == 0
        assert stream.end is None


@pytest.mark.parametrize("way", ["stop", "kill", "crash"])
def test_owners_end_cancels(way: str) -> None:
    owner = Recorder.start()
    stream = EventStream(owner=owner)
    if way == "crash":
        owner.tell(("raise", Refused()))
    else:
        getattr(owner, way)()
    owner.join(timeout=LIMIT)
    assert next(stream) == StreamCancelled("owner_down")
    assert list(stream) == []


def test_owner_that_has_ended_cancels_at_once_and_leaves_no_timer() -> None:
    owner = Recorder.start()
    owner.stop()
    with FakeClock() as fake:
        assert EventStream(owner=owner).end == StreamCancelled("owner_down")
        assert fake.waiters() == 0


def test_ended_stream_has_taken_its_callback_back_from_the_owner() -> None:
    owner = Recorder.start()
    before = len(owner._cell.bonds._tables.callbacks)
    stream = EventStream(owner=owner)
    assert len(owner._cell.bonds._tables.callbacks) == before + 1
    stream.complete()
    assert len(owner._cell.bonds._tables.callbacks) == before


def test_forgotten_stream_is_freed_with_its_timer_and_callbacks() -> None:
    owner, task = Recorder.start(), Recorder.start()
    before = len(owner._cell.bonds._tables.callbacks), len(task._cell.bonds._tables.callbacks)
    with FakeClock() as fake:
        stream = EventStream(owner=owner)
        stream.attach_task(task)
        freed = weakref.ref(stream)
        assert fake.waiters() == 1
        del stream
        gc.collect()
        assert freed() is None
        assert fake.waiters() == 0
    assert (len(owner._cell.bonds._tables.callbacks), len(task._cell.bonds._tables.callbacks)) == before


def in_child(check: Any) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(int(LIMIT))  # nothing else would end a child that hangs
        try:
            check()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child_inherited_streams_are_cancelled_though_their_lock_was_held(
    parked: threading.Semaphore,
) -> None:
    stream = EventStream()
    consumer = Consumer(stream)
    assert parked.acquire(timeout=LIMIT)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with stream._queue.lock:
            held.set()
            let_go.wait(LIMIT)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LIMIT)

    def check() -> None:
        assert list(stream) == [StreamCancelled("lost_in_fork")]
        assert stream.push(1) is PushResult.CANCELLED
        new = EventStream()
        new.push(1)
        new.complete()
        assert list(new) == [1, StreamEnd()]

    try:
        in_child(check)
    finally:
        let_go.set()
        holder.join(LIMIT)
    assert stream.push("parent goes on") is PushResult.OK
    stream.complete()
    assert consumer.finish() == ["parent goes on", StreamEnd()]


def test_event_promised_to_a_consumer_lost_in_a_fork_is_there_for_the_child() -> None:
    queue = StreamQueue(1, "reject")
    queue.enter(Waiter(lambda: True))
    queue.push("event")
    queue.lost_in_fork()
    assert queue.stats().size == 1
    assert queue.take() == "event"


# -- attached tasks --------------------------------------------------------------------------------------------------


def test_attached_actors_normal_end_is_an_error_too() -> None:
    stream, task = EventStream(), Recorder.start()
    stream.push(1)
    stream.attach_task(task)
    task.stop()
    assert list(stream) == [1, StreamError("task_crashed", None, Normal())]


def test_attached_actors_crash_is_the_cause_of_the_failure() -> None:
    stream, task, error = EventStream(), Recorder.start(), Refused("no")
    stream.attach_task(task)
    task.tell(("raise", error))
    with pytest.raises(StreamFailed, match="task_crashed") as caught:
        stream.result(timeout=LIMIT)
    assert caught.value.cause == Crash(error)
    assert caught.value.__cause__ is error


def test_attaching_a_task_that_has_ended_is_an_error_at_once() -> None:
    stream, task = EventStream(), Recorder.start()
    task.kill()
    task.join(timeout=LIMIT)
    stream.attach_task(task)
    assert stream.end == StreamError("task_crashed", None, Killed())


def test_task_may_end_after_it_completed_the_stream() -> None:
    stream, task = EventStream(), Recorder.start()
    before = len(task._cell.bonds._tables.callbacks)
    stream.attach_task(task)
    stream.complete(1)
    assert len(task._cell.bonds._tables.callbacks) == before
    task.stop()
    assert stream.result() == 1


@pytest.mark.parametrize("end", ["complete", "error"])
def test_only_a_cancel_stops_the_task(end: str) -> None:
    stream, task, signal = EventStream(), Recorder.start(), AbortSignal()
    stream.attach_task(task, signal)
    getattr(stream, end)("end")
    assert task.ask("still here", timeout=LIMIT) == "still here"
    assert not signal.aborted


def test_attaching_again_drops_the_task_before() -> None:
    stream, old, new = EventStream(), Recorder.start(), Recorder.start()
    before = len(old._cell.bonds._tables.callbacks)
    stream.attach_task(old)
    stream.attach_task(new)
    assert len(old._cell.bonds._tables.callbacks) == before
    old.stop()
    assert stream.end is None
    new.stop()
    assert stream.end == StreamError("task_crashed", None, Normal())


def test_cancel_aborts_the_signal_then_stops_the_task_and_leaves_no_timer() -> None:
    with FakeClock() as fake:
        log: list[Any] = []
        stream, signal = EventStream(), AbortSignal()
        task = Recorder.start(log)
        signal.on_abort(lambda: task.ask("aborted"))
        stream.attach_task(task, signal)
        stream.cancel("unwanted")
        assert task.join(timeout=None) == Shutdown("unwanted")
        assert log == ["start", "aborted", "on_stop", ("terminate", Shutdown("unwanted"))]
        assert signal.reason == "unwanted"
        assert fake.waiters() == 0
    assert stream.end == StreamCancelled("unwanted")


def test_busy_task_is_killed_after_the_grace(gate: threading.Event) -> None:
    with FakeClock() as fake:
        stream, task = EventStream(), Recorder.start()
        busy(task, gate)
        stream.attach_task(task)
        stream.cancel()
        fake.advance(0.09)
        assert task.is_alive()
        fake.advance(0.01)
        assert task.join(timeout=None) == Killed()


def test_task_attached_to_a_cancelled_stream_is_stopped_at_once() -> None:
    stream, task = EventStream(), Recorder.start()
    stream.cancel("early")
    stream.attach_task(task)
    assert task.join(timeout=LIMIT) == Shutdown("early")


def test_tie_made_while_the_stream_ends_is_taken_back() -> None:
    class Ending(Handle):
        def add_done_callback(self, fn: Any) -> None:
            stream.complete()
            super().add_done_callback(fn)

    stream, handle = EventStream(), Ending()
    stream.attach_task(handle)
    assert stream._ties == {}
    handle.end(Normal())
    assert list(stream) == [StreamEnd()]


def test_task_attached_to_a_complete_stream_is_left_alone() -> None:
    stream, task = EventStream(), Recorder.start()
    stream.complete()
    stream.attach_task(task)
    assert task.ask("still here", timeout=LIMIT) == "still here"


class Handle:
    """What a supervision Task looks like from here."""

    def __init__(self, ref: Any = None) -> None:
        self.ref = ref
        self.abort_signal = AbortSignal()
        self.outcome: Any = None
        self.log: list[Any] = []
        self.callbacks: list[Any] = []

    def cancel(self) -> bool:
        self.log.append(("cancel", self.abort_signal.reason))
        return True

    def add_done_callback(self, fn: Any) -> None:
        self.callbacks.append(fn)

    def poll(self) -> Any:
        return self.outcome

    def end(self, reason: Any) -> None:
        self.outcome = type("TaskResult", (), {"reason": reason})()
        for fn in self.callbacks:
            fn(self)


def test_handle_with_its_own_signal_is_aborted_cancelled_and_its_actor_killed(gate: threading.Event) -> None:
    with FakeClock() as fake:
        ref = Recorder.start()
        busy(ref, gate)
        stream, handle = EventStream(), Handle(ref)
        stream.attach_task(handle)
        stream.cancel("unwanted")
        assert handle.log == [("cancel", "unwanted")]
        assert ref.is_alive()
        fake.advance(0.1)
        assert ref.join(timeout=None) == Killed()


def test_handles_outcome_is_the_cause() -> None:
    stream, handle, dropped = EventStream(), Handle(), Handle()
    stream.attach_task(dropped)
    stream.attach_task(handle)
    dropped.end(Killed())
    assert stream.end is None
    handle.end(Normal())
    assert stream.end == StreamError("task_crashed", None, Normal())
    assert handle.log == []


def test_late_end_of_a_dropped_task_is_ignored() -> None:
    stream = EventStream()
    stream.attach_task(Handle())
    old = stream._task
    assert old is not None
    stream.attach_task(Handle())
    stream._task_ended(old, Normal())  # as when it ended just before it was dropped
    assert stream.end is None


def test_concurrent_future_can_be_attached() -> None:
    error = Refused()
    for act, cause in [
        (lambda future: future.set_result(1), Normal()),
        (lambda future: future.set_exception(error), Crash(error)),
        (lambda future: (future.cancel(), future.set_running_or_notify_cancel()), Shutdown("cancelled")),
    ]:
        stream, future = EventStream(), concurrent.futures.Future[int]()
        stream.attach_task(future)
        act(future)
        assert stream.end == StreamError("task_crashed", None, cause)


def test_task_that_tells_nothing_of_its_end_has_no_known_cause() -> None:
    class Silent:
        def cancel(self) -> None: ...

        def add_done_callback(self, fn: Any) -> None:
            fn(self)

    stream = EventStream()
    stream.attach_task(Silent())
    assert stream.end == StreamError("task_crashed", None, None)


def test_what_cannot_be_attached_is_refused() -> None:
    stream = EventStream()
    with pytest.raises(InvalidOption, match=r"task must be an ActorRef, an asyncio.Task or .*, not 'x'$"):
        stream.attach_task("x")  # type: ignore[arg-type]


# -- asyncio ---------------------------------------------------------------------------------------------------------


async def parked_on(stream: EventStream, count: int) -> None:
    """Let the event loop run until so many consumers wait."""
    while len(stream._queue._takers) < count:  # noqa: ASYNC110 - this lets exactly the loop's own work happen
        await asyncio.sleep(0)


def test_async_consumer_leaves_the_event_loop_free() -> None:
    async def main() -> list[Any]:
        stream = EventStream()

        async def consume() -> list[Any]:
            return [event async for event in stream]

        task = asyncio.create_task(consume())
        for n in range(3):
            await parked_on(stream, 1)
            await asyncio.to_thread(stream.push, n)
        stream.push(3)
        stream.complete("done")
        return await task

    assert asyncio.run(main()) == [0, 1, 2, 3, StreamEnd("done")]


def test_async_consumers_compete_and_all_end() -> None:
    async def main() -> list[list[Any]]:
        stream = EventStream()

        async def consume() -> list[Any]:
            return [event async for event in stream]

        tasks = [asyncio.create_task(consume()) for _ in range(3)]
        await parked_on(stream, 3)
        assert [stream.push(n) for n in range(3)] == ["ok"] * 3
        assert stream.stats().size == 0
        await parked_on(stream, 3)
        stream.complete()
        return await asyncio.gather(*tasks)

    got = asyncio.run(main())
    assert sorted(events[0] for events in got) == [0, 1, 2]
    assert sorted(events[1:] for events in got) == [[], [], [StreamEnd()]]


def test_cancelled_async_consumer_leaves_its_event_to_the_next() -> None:
    async def main() -> None:
        stream = EventStream()
        first = asyncio.ensure_future(anext(stream))
        await parked_on(stream, 1)
        second = asyncio.ensure_future(anext(stream))
        await parked_on(stream, 2)
        stream.push("event")  # promised to the first
        first.cancel()
        assert await second == "event"
        assert first.cancelled()

        third = asyncio.ensure_future(anext(stream))
        await parked_on(stream, 1)
        third.cancel()
        stream.push("kept")
        with pytest.raises(asyncio.CancelledError):
            await third
        assert stream.stats().size == 1
        assert await anext(stream) == "kept"

        gone = asyncio.ensure_future(anext(stream))
        await parked_on(stream, 1)
        gone.cancel()
        await asyncio.wait([gone])
        stream.push("not for the one that left")
        assert stream.stats().size == 1
        assert await anext(stream) == "not for the one that left"

    asyncio.run(main())


def test_consumer_of_a_closed_event_loop_gets_nothing_more() -> None:
    stream = EventStream()
    loop = asyncio.new_event_loop()
    consumer = anext(stream)
    task = loop.create_task(consumer)
    loop.run_until_complete(parked_on(stream, 1))
    loop.close()
    assert stream.push("event") is PushResult.OK
    assert next(stream) == "event"
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_async_result_and_its_timeout() -> None:
    async def main() -> None:
        with FakeClock() as fake:
            stream = EventStream(timeout=None)
            late = asyncio.ensure_future(stream.result_async(timeout=5))
            await asyncio.to_thread(fake.wait_for_waiters, 1)
            fake.advance(5)
            with pytest.raises(ResultTimeout):
                await late
            result = asyncio.ensure_future(stream.result_async(timeout=5))
            await asyncio.to_thread(fake.wait_for_waiters, 1)
            await asyncio.to_thread(stream.complete, "value")
            assert await result == "value"
            assert await stream.result_async() == "value"
            with pytest.raises(ResultTimeout):
                await asyncio.wait_for(EventStream(timeout=None).result_async(timeout=0), LIMIT)
            assert fake.waiters() == 0

    asyncio.run(main())


def test_attached_asyncio_task_is_cancelled_with_the_stream() -> None:
    async def main() -> None:
        stream = EventStream()
        task = asyncio.create_task(asyncio.Event().wait())
        stream.attach_task(task)
        await asyncio.to_thread(stream.cancel, "unwanted")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.end == StreamCancelled("unwanted")

    asyncio.run(main())


def test_attached_asyncio_task_with_a_signal_has_the_grace_to_end_by_itself() -> None:
    async def main() -> None:
        with FakeClock() as fake:
            for obeys in (True, False):
                stream, signal, stopped = EventStream(timeout=None), AbortSignal(), asyncio.Event()
                if obeys:
                    signal.on_abort(stopped.set)
                task = asyncio.create_task(stopped.wait())
                stream.attach_task(task, signal)
                stream.cancel()
                assert signal.aborted
                if obeys:
                    assert await task
                    assert stream.end == StreamCancelled("cancelled")
                else:
                    fake.advance(0.1)
                    with pytest.raises(asyncio.CancelledError):
                        await task
                await asyncio.sleep(0)
                assert fake.waiters() == 0

    asyncio.run(main())


def test_how_an_attached_asyncio_task_ended_is_the_cause() -> None:
    error = Refused()

    async def end(act: str) -> str:
        if act == "crash":
            raise error
        return act

    async def main() -> list[Any]:
        ends = []
        for act in ("return", "crash", "cancel"):
            stream = EventStream()
            task = asyncio.create_task(end(act))
            stream.attach_task(task)
            if act == "cancel":
                task.cancel()
            with pytest.raises(StreamFailed) as caught:
                await stream.result_async()
            ends.append(caught.value.cause)
        return ends

    assert asyncio.run(main()) == [Normal(), Crash(error), Shutdown("cancelled")]


def test_dropped_asyncio_task_keeps_no_callback_and_its_closed_loop_is_no_error() -> None:
    stream = EventStream()

    async def main() -> asyncio.Task[bool]:
        old = asyncio.create_task(asyncio.Event().wait())
        stream.attach_task(old)
        new = asyncio.create_task(asyncio.Event().wait())
        stream.attach_task(new)
        old.cancel()
        await asyncio.wait([old])
        await asyncio.sleep(0)
        assert stream.end is None
        return new

    asyncio.run(main())
    assert stream.end == StreamError("task_crashed", None, Shutdown("cancelled"))

    async def leave_open() -> EventStream:
        another = EventStream()
        another.attach_task(asyncio.get_running_loop().create_future())
        return another

    another = asyncio.run(leave_open())
    assert another.cancel() is True


# -- against a model -------------------------------------------------------------------------------------------------


class StreamMachine(RuleBasedStateMachine):
    """The stream against a list."""

    @initialize(capacity=st.integers(1, 4), overflow=st.sampled_from(POLICIES))
    def make(self, capacity: int, overflow: Any) -> None:
        self.capacity, self.overflow = capacity, overflow
        self.stream = EventStream(capacity=capacity, overflow=overflow, timeout=None)
        self.model: list[Any] = []
        self.end: Any = None
        self.pushed = self.dropped = self.peak = 0

    @rule()
    def push(self) -> None:
        self.pushed += 1
        answer = self.stream.push(self.pushed)
        if self.end is not None:
            assert answer == "cancelled"
            return
        if len(self.model) == self.capacity:
            self.dropped += 1
            if self.overflow != "drop_oldest":
                assert answer == ("overflow" if self.overflow == "reject" else "ok")
                return
            del self.model[0]
        assert answer == "ok"
        self.model.append(self.pushed)

    @rule(way=st.sampled_from(sorted(TERMINALS)))
    def finish(self, way: str) -> None:
        assert getattr(self.stream, way)("end") is (self.end is None)
        if self.end is None:
            self.end = TERMINALS[way]
            if len(self.model) == self.capacity:
                del self.model[0]
                self.dropped += 1
            self.model.append(self.end)

    @precondition(lambda self: self.model or self.end is not None)
    @rule()
    def take(self) -> None:
        assert next(self.stream, "over") == (self.model.pop(0) if self.model else "over")

    @precondition(lambda self: self.end is None)
    @rule()
    def result_of_an_open_stream(self) -> None:
        with pytest.raises(ResultTimeout):
            self.stream.result(timeout=0)

    @precondition(lambda self: self.end is not None)
    @rule()
    def result(self) -> None:
        if isinstance(self.end, StreamEnd):
            assert self.stream.result() == "end"
        else:
            kind = StreamFailed if isinstance(self.end, StreamError) else StreamCancelledError
            with pytest.raises(kind) as caught:
                self.stream.result()
            assert type(caught.value) is kind
            assert caught.value.reason == "end"

    @invariant()
    def numbers_agree(self) -> None:
        if hasattr(self, "stream"):
            self.peak = max(self.peak, len(self.model))
            assert self.stream.end == self.end
            assert self.stream.stats() == StreamStats(len(self.model), self.capacity, self.dropped, self.peak)


TestStreamAgainstModel = StreamMachine.TestCase
TestStreamAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_producer_may_wait_for_room() -> None:
    stream = EventStream(capacity=2, timeout=None)
    waited: list[bool] = []

    def produce() -> None:
        for number in range(200):
            waited.append(stream.wait_for_room(LIMIT))
            assert stream.push(number) is PushResult.OK
        stream.wait_for_room(LIMIT)  # the end takes a place too
        stream.complete()

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    got = list(stream)
    producer.join(LIMIT)
    assert got[:-1] == list(range(200))
    assert (stream.stats().dropped, set(waited)) == (0, {True})


def test_room_that_does_not_come_in_time_is_false() -> None:
    stream = EventStream(capacity=1, timeout=None)
    stream.push(1)
    with FakeClock() as clock_:
        answer: list[bool] = []
        waiting = threading.Thread(target=lambda: answer.append(stream.wait_for_room(5.0)), daemon=True)
        waiting.start()
        clock_.wait_for_waiters(1)
        clock_.advance(5.0)
        waiting.join(LIMIT)
    assert answer == [False]
    assert stream.wait_for_room(0) is False


@pytest.mark.parametrize("end", list(TERMINALS))
def test_an_end_lets_whoever_waits_for_room_go_on(end: str) -> None:
    stream = EventStream(capacity=1, timeout=None)
    stream.push(1)
    answer: list[bool] = []
    with FakeClock() as clock_:
        waiting = threading.Thread(target=lambda: answer.append(stream.wait_for_room(600.0)), daemon=True)
        waiting.start()
        clock_.wait_for_waiters(1)
        getattr(stream, end)("end")
        waiting.join(LIMIT)
    assert answer == [True]


def test_a_consumer_that_waits_is_room() -> None:
    stream = EventStream(capacity=1, timeout=None)
    consumer = Consumer(stream)
    for number in range(50):
        assert stream.wait_for_room(LIMIT)
        stream.push(number)
    assert stream.wait_for_room(LIMIT)
    stream.complete()
    consumer.join(LIMIT)
    assert consumer.got[:-1] == list(range(50))
