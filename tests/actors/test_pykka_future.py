from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pykka
import pytest

from beamlens_actors import AskTimeout, Future, SelfAsk
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


def answered(value: Any) -> Future[Any]:
    """The future of an actor's answer."""
    return Recorder.start().ask(("do", lambda actor: value), block=False)


# -- get and set ---------------------------------------------------------------------------------------------


def test_answer_can_be_had_any_number_of_times() -> None:
    future = answered("x")
    assert [future.get(timeout=LIMIT), future.get(), future.get(timeout=0)] == ["x"] * 3


def test_set_without_a_value_sets_none() -> None:
    future: Future[Any] = Future()
    future.set()
    assert future.get(timeout=0) is None


def test_get_takes_its_timeout_by_name_only() -> None:
    with pytest.raises(TypeError):
        answered("x").get(LIMIT)  # type: ignore[misc]


def test_timeout_is_pykkas(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    future = ref.ask("x", block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    gate.set()
    assert future.get(timeout=LIMIT) == "x"


def test_exception_that_is_set_keeps_its_traceback_each_time() -> None:
    future: Future[Any] = Future()
    try:
        raise Refused("here")
    except Refused as error:
        place = error.__traceback__
        future.set_exception()
    for _ in range(2):
        with pytest.raises(Refused, match="here") as caught:
            future.get()
        assert caught.value.__traceback__ is not None
        assert place in _tracebacks(caught.value)


def _tracebacks(error: BaseException) -> list[Any]:
    chain, one = [], error.__traceback__
    while one is not None:
        chain.append(one)
        one = one.tb_next
    return chain


def test_exception_can_be_set_as_a_triple() -> None:
    future: Future[Any] = Future()
    error = Refused()
    future.set_exception((Refused, error, None))
    with pytest.raises(Refused) as caught:
        future.get()
    assert caught.value is error


# -- the get hook --------------------------------------------------------------------------------------------


def test_get_hook_is_given_the_timeout_and_called_once() -> None:
    future: Future[Any] = Future()
    timeouts: list[Any] = []

    def hook(timeout: float | None) -> str:
        timeouts.append(timeout)
        return "hooked"

    future.set_get_hook(hook)
    assert [future.get(timeout=3), future.get()] == ["hooked", "hooked"]
    assert timeouts == [3]


def test_get_hook_that_raises_is_called_again() -> None:
    future: Future[Any] = Future()
    outcomes: list[Any] = [Refused(), "second"]

    def hook(timeout: float | None) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    future.set_get_hook(hook)
    with pytest.raises(Refused):
        future.get()
    assert future.get() == "second"


@pytest.mark.parametrize("late", [lambda f: f.set(1), lambda f: f.set_exception((Refused, Refused(), None))])
def test_future_with_a_get_hook_takes_no_answer(late: Any) -> None:
    future: Future[Any] = Future()
    future.set_get_hook(lambda timeout: "hooked")
    with pytest.raises(queue.Full):
        late(future)
    assert future.get() == "hooked"


# -- made of others ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "make", "result"),
    [
        (range(5, 15), lambda f: f.filter(lambda x: x > 12), [13, 14]),
        ([], lambda f: f.filter(None), []),
        (30, lambda f: f.map(lambda x: x + 10), 40),
        ([1, 2], lambda f: f.map(len), 2),
        ({"a": "b"}, lambda f: f.map(lambda x: x["a"]), "b"),
        ([1, 2, 3], lambda f: f.reduce(lambda x, y: x - y), -4),
        ([1, 2, 3], lambda f: f.reduce(lambda x, y: x + y, 5), 11),
        ([], lambda f: f.reduce(lambda x, y: x + y, 5), 5),
        ([3, 4], lambda f: f.filter(lambda x: x > 3).map(len).map(str), "1"),
    ],
)
def test_future_made_of_another(value: Any, make: Any, result: Any) -> None:
    made = make(answered(value))
    assert isinstance(made, Future)
    assert made.get(timeout=LIMIT) == result


@pytest.mark.parametrize(
    "make", [lambda f: f.filter(bool), lambda f: f.reduce(lambda x, y: x)], ids=["filter", "reduce"]
)
def test_filter_and_reduce_of_what_is_not_iterable_are_a_type_error(make: Any) -> None:
    with pytest.raises(TypeError):
        make(answered(1)).get(timeout=LIMIT)


def test_reduce_of_nothing_without_an_initial_value_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        answered([]).reduce(lambda x, y: x).get(timeout=LIMIT)


def test_making_one_of_another_does_not_wait(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    made = ref.ask("ab", block=False).map(str.upper)
    with pytest.raises(AskTimeout):
        made.get(timeout=0)
    gate.set()
    assert made.get(timeout=LIMIT) == "AB"


def test_joined_futures_give_their_answers_in_order() -> None:
    assert answered("a").join(answered(2), answered(None)).get(timeout=LIMIT) == ["a", 2, None]


def test_exception_of_one_reaches_what_was_made_of_it() -> None:
    failed: Future[Any] = Recorder.start().ask(("refuse", Refused("no")), block=False)
    with pytest.raises(Refused, match="no"):
        failed.map(str).get(timeout=LIMIT)
    with pytest.raises(Refused, match="no"):
        answered(1).join(failed).get(timeout=LIMIT)
    with pytest.raises(Refused, match="no"):
        pykka.get_all([answered(1), failed], timeout=LIMIT)


def test_get_all_gives_answers_in_order_and_times_out() -> None:
    assert pykka.get_all([answered(number) for number in range(3)], timeout=LIMIT) == [0, 1, 2]
    with pytest.raises(pykka.Timeout):
        pykka.get_all([answered(1), Future()], timeout=0)


def test_what_is_made_of_an_actors_own_answer_is_refused_to_it() -> None:
    ref = Recorder.start()

    def wait(actor: Any) -> str:
        with pytest.raises(SelfAsk):
            actor.actor_ref.ask("x", block=False).map(str).get()
        return "refused"

    assert ref.ask(("do", wait), timeout=LIMIT) == "refused"


def test_future_made_of_another_is_done_once_it_was_got() -> None:
    made = answered("ab").map(str.upper)
    assert made.done() is False
    made.get(timeout=LIMIT)
    assert (made.done(), repr(made)) == (True, "<beamlens_actors.Future done>")


# -- await ---------------------------------------------------------------------------------------------------


def test_awaited_future_gives_the_answer_any_number_of_times_or_raises() -> None:
    async def main() -> list[Any]:
        ref = Recorder.start()
        future = ref.ask("x", block=False)
        with pytest.raises(Refused):
            await ref.ask(("refuse", Refused()), block=False)
        return [await future, await future]

    assert asyncio.run(main()) == ["x", "x"]


def test_many_asyncio_tasks_may_await_one_future(gate: threading.Event) -> None:
    async def main() -> list[Any]:
        ref = Recorder.start()
        busy(ref, gate)
        future = ref.ask("x", block=False)
        tasks = [asyncio.ensure_future(future.wait_async()) for _ in range(3)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["x"] * 3


def test_awaiting_what_is_made_of_another_leaves_the_event_loop_free(gate: threading.Event) -> None:
    async def main() -> Any:
        ref = Recorder.start()
        busy(ref, gate)
        asyncio.get_running_loop().call_soon(gate.set)
        return await ref.ask("ab", block=False).map(str.upper)

    assert asyncio.run(main()) == "AB"


def test_cancelled_await_leaves_nothing_behind() -> None:
    async def main() -> None:
        future: Future[Any] = Future()
        with FakeClock() as clock:
            task = asyncio.ensure_future(future.wait_async(5))
            await asyncio.to_thread(clock.wait_for_waiters, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (future._waiting, clock.waiters()) == ([], 0)

    asyncio.run(main())


def test_cancelled_await_of_what_is_made_of_another_does_not_hold_up_the_event_loops_end(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    made, ended = ref.ask("ab", block=False).map(str.upper), threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(made.wait_async())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def run() -> None:
        asyncio.run(main())
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    in_time = ended.wait(LIMIT)
    gate.set()
    thread.join(LIMIT)
    assert in_time


def test_many_may_be_awaited_that_are_made_of_others(gate: threading.Event) -> None:
    async def main() -> list[Any]:
        ref = Recorder.start()
        busy(ref, gate)
        waiting = [asyncio.ensure_future(ref.ask(n, block=False).map(str).wait_async(LIMIT)) for n in range(50)]
        await asyncio.to_thread(gate.set)
        return await asyncio.gather(*waiting)

    assert asyncio.run(main()) == [str(number) for number in range(50)]
