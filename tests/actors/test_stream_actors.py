"""Event streams whose two ends are in different places: actors, threads, asyncio tasks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from beamlens_actors import EventStream, PushResult, StreamCancelledError
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, Refused

EVENTS = list(range(200))


def produce(stream: EventStream) -> Any:
    def run(actor: Any) -> list[PushResult]:
        results = {stream.push(event) for event in EVENTS}
        stream.complete("done")
        return list(results)

    return run


def consume(stream: EventStream) -> Any:
    return lambda actor: list(stream)


def test_one_actor_iterates_what_another_pushes() -> None:
    stream = EventStream()
    consumer, producer = Recorder.start(), Recorder.start()
    got = consumer.ask(("do", consume(stream)), block=False)
    assert producer.ask(("do", produce(stream)), timeout=LIMIT) == [PushResult.OK]
    *events, end = got.get(timeout=LIMIT)
    assert events == EVENTS
    assert end.result == "done"


@pytest.mark.parametrize("other", ["threads", "greenlets"])
def test_actors_of_either_backend_meet_over_a_stream(backend: str, other: str) -> None:
    stream = EventStream()
    consumer = Recorder.options(backend=backend).start()
    producer = Recorder.options(backend=other).start()
    got = consumer.ask(("do", consume(stream)), block=False)
    producer.tell(("do", produce(stream)))
    assert got.get(timeout=LIMIT)[:-1] == EVENTS


def test_consumer_that_waits_is_parked_alone() -> None:
    stream, entered = EventStream(), threading.Event()
    consumer, other = Recorder.start(), Recorder.start()

    def take(actor: Any) -> Any:
        entered.set()
        return next(stream)

    got = consumer.ask(("do", take), block=False)
    assert entered.wait(LIMIT)
    assert other.ask("hello", timeout=LIMIT) == "hello"
    other.tell(("do", lambda actor: stream.push("event")))
    assert got.get(timeout=LIMIT) == "event"


def test_actor_that_waits_for_the_result_is_parked_alone_and_its_timeout_is_on_the_clock() -> None:
    stream = EventStream(timeout=None)
    waits, other = Recorder.start(), Recorder.start()

    def result(actor: Any) -> str:
        with pytest.raises(TimeoutError, match="still open after 5 s"):
            stream.result(5)
        return "late"

    with FakeClock() as clock:
        got = waits.ask(("do", result), block=False)
        clock.wait_for_waiters(1)
        assert other.ask("hello") == "hello"
        clock.advance(5)
        assert got.get() == "late"


def test_actors_that_compete_for_events_get_each_once() -> None:
    stream = EventStream()
    consumers = [Recorder.start() for _ in range(3)]
    got = [ref.ask(("do", consume(stream)), block=False) for ref in consumers]
    Recorder.start().tell(("do", produce(stream)))
    lists = [future.get(timeout=LIMIT) for future in got]
    events = [event for one in lists for event in one if isinstance(event, int)]
    assert sorted(events) == EVENTS
    assert all(one == sorted(one, key=lambda event: event if isinstance(event, int) else 999) for one in lists)


def test_asyncio_iterates_what_an_actor_pushes_and_stays_free() -> None:
    async def main() -> list[Any]:
        stream, free = EventStream(), asyncio.Event()
        asyncio.get_running_loop().call_soon(free.set)

        async def take() -> list[Any]:
            return [event async for event in stream]

        task = asyncio.ensure_future(take())
        await free.wait()
        Recorder.start().tell(("do", produce(stream)))
        return await task

    assert asyncio.run(main())[:-1] == EVENTS


def test_actor_iterates_what_asyncio_pushes() -> None:
    async def main() -> list[Any]:
        stream = EventStream()
        got = Recorder.start().ask(("do", consume(stream)), block=False)
        for event in EVENTS:
            stream.push(event)
            await asyncio.sleep(0)
        stream.complete("done")
        return await got

    assert asyncio.run(main())[:-1] == EVENTS


def test_end_of_the_owning_actor_wakes_a_consumer_in_another() -> None:
    owner, consumer = Recorder.start(), Recorder.start()
    stream, entered = EventStream(owner=owner), threading.Event()

    def result(actor: Any) -> str:
        entered.set()
        with pytest.raises(StreamCancelledError):
            stream.result()
        return "cancelled"

    got = consumer.ask(("do", result), block=False)
    assert entered.wait(LIMIT)
    owner.tell(("raise", Refused()))
    assert got.get(timeout=LIMIT) == "cancelled"


def test_consumer_killed_while_it_waits_leaves_the_event_to_the_next() -> None:
    stream, entered = EventStream(), threading.Event()
    killed, heir = Recorder.options(backend="greenlets").start(), Recorder.start()

    def take(actor: Any) -> Any:
        entered.set()
        return next(stream)

    killed.tell(("do", take))
    assert entered.wait(LIMIT)
    Recorder.options(backend="greenlets").start().ask("the other has parked")
    killed.kill()
    killed.join(LIMIT)
    got = heir.ask(("do", lambda actor: next(stream)), block=False)
    Recorder.options(backend="greenlets").start().ask("the killed one was unwound")
    stream.push("event")
    assert got.get(timeout=LIMIT) == "event"
