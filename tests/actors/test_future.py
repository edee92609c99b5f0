from __future__ import annotations

import asyncio
import queue
import threading

import pykka
import pytest

from beamlens_actors import ActorCrashed, AskTimeout, Future
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Refused


def test_every_waiting_thread_gets_the_answer() -> None:
    future: Future[int] = Future()
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(future.get(timeout=LIMIT))) for _ in range(8)]
    with FakeClock() as clock:
        for thread in threads:
            thread.start()
        clock.wait_for_waiters(8)
        future.set(7)
        for thread in threads:
            thread.join(LIMIT)
    assert got == [7] * 8


def test_second_answer_is_refused_by_set_and_dropped_by_resolve() -> None:
    future: Future[int] = Future()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        future.set_exception((ValueError, ValueError(), None))
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda timeout: 3)
    assert future.resolve(2) is False
    assert future.fail(Refused()) is False
    assert future.get() == 1


def test_one_of_many_answers_wins() -> None:
    for _ in range(50):
        future: Future[int] = Future()
        barrier, won = threading.Barrier(4), []

        def answer(number: int, future: Future[int] = future, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            if future.resolve(number):
                won.append(number)  # noqa: B023

        threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert won == [future.get(timeout=0)]


def test_set_exception_takes_the_one_being_handled() -> None:
    future: Future[int] = Future()
    try:
        raise Refused
    except Refused:
        future.set_exception()
    for _ in range(2):
        with pytest.raises(Refused):
            future.get()


def test_error_that_is_no_exception_arrives_as_actor_crashed() -> None:
    future: Future[int] = Future()
    cause = KeyboardInterrupt()
    future.fail(cause)
    with pytest.raises(ActorCrashed) as caught:
        future.get()
    assert caught.value.cause is cause


def test_timeout_leaves_nothing_behind_and_the_answer_can_still_come() -> None:
    future: Future[int] = Future()
    with pytest.raises(AskTimeout):
        future.get(timeout=0)
    assert not future._waiting
    future.set(1)
    assert future.get(timeout=0) == 1


def test_pykkas_map_filter_reduce_join_and_get_all_work() -> None:
    future: Future[list[int]] = Future()
    future.set([1, 2, 3])
    assert list(future.filter(lambda x: x > 1).get()) == [2, 3]
    assert future.map(len).get() == 3
    assert future.reduce(lambda x, y: x + y).get() == 6
    assert list(future.join(future).get()) == [[1, 2, 3]] * 2
    assert list(pykka.get_all([future, future])) == [[1, 2, 3]] * 2


def test_await_does_not_block_the_event_loop() -> None:
    async def main() -> list[int]:
        future: Future[int] = Future()
        asyncio.get_running_loop().call_soon(future.set, 1)
        hooked: Future[int] = Future()
        hooked.set_get_hook(lambda timeout: 2)
        return [await future, await future, await hooked]

    assert asyncio.run(main()) == [1, 1, 2]


def test_async_timeout_is_on_the_clock() -> None:
    async def main() -> None:
        with FakeClock() as clock:
            future: Future[int] = Future()
            task = asyncio.ensure_future(future.wait_async(5))
            await asyncio.to_thread(clock.wait_for_waiters, 1)
            clock.advance(5)
            with pytest.raises(AskTimeout):
                await task

    asyncio.run(main())


def test_answer_after_the_event_loop_was_closed_is_no_error() -> None:
    future: Future[int] = Future()

    async def main() -> None:
        task = asyncio.ensure_future(future.wait_async())
        await asyncio.sleep(0)
        wake = future._waiting
        assert wake
        task.cancel()
        future._waiting = list(wake)
        with pytest.raises(asyncio.CancelledError):
            await task
        future._waiting = list(wake)

    asyncio.run(main())
    assert future.resolve(1)


def test_async_wait_of_no_time_does_not_block_under_a_fake_clock() -> None:
    async def main() -> list[int]:
        future: Future[int] = Future()
        with pytest.raises(AskTimeout, match="within 0 s"):
            await asyncio.wait_for(future.wait_async(0), LIMIT)
        future.set(1)
        return [await future.wait_async(0)]

    with FakeClock():
        assert asyncio.run(main()) == [1]
