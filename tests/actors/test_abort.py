from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from beamlens_actors import Aborted, AbortSignal, current_actor
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder


def test_first_abort_wins_and_its_reason_stays() -> None:
    signal = AbortSignal()
    assert (signal.aborted, signal.reason) == (False, None)
    signal.raise_if_aborted()
    assert signal.abort("first") is True
    assert signal.abort("second") is False
    assert (signal.aborted, signal.reason) == (True, "first")
    with pytest.raises(Aborted) as caught:
        signal.raise_if_aborted()
    assert caught.value.reason == "first"


def test_children_abort_with_their_parent_at_any_depth_and_never_upwards() -> None:
    parent = AbortSignal()
    child, sibling = parent.child(), parent.child()
    grandchild = child.child()
    child.abort("child")
    assert [parent.aborted, sibling.aborted, grandchild.aborted] == [False, False, True]
    parent.abort("parent")
    assert [child.reason, sibling.reason, grandchild.reason] == ["child", "parent", "child"]


def test_child_of_an_aborted_parent_is_born_aborted() -> None:
    parent = AbortSignal()
    parent.abort("over")
    assert parent.child().reason == "over"


def test_callbacks_run_once_in_order_at_once_when_late_and_not_when_taken_back() -> None:
    signal, seen = AbortSignal(), []
    signal.on_abort(lambda: seen.append(1))
    take_back = signal.on_abort(lambda: seen.append("never"))
    signal.on_abort(lambda: 1 / 0)
    signal.on_abort(lambda: seen.append(2))
    take_back()
    signal.abort()
    signal.abort()
    assert seen == [1, 2]
    signal.on_abort(lambda: seen.append(3))
    assert seen == [1, 2, 3]


def test_wait_is_on_the_clock() -> None:
    signal, result = AbortSignal(), []
    with FakeClock() as clock:
        for _ in range(2):
            thread = threading.Thread(target=lambda: result.append(signal.wait(5)))
            thread.start()
            clock.wait_for_waiters(1)
            if result:
                signal.abort()
            else:
                clock.advance(5)
            thread.join(LIMIT)
    assert result == [False, True]


def test_parent_does_not_keep_its_finished_children() -> None:
    parent = AbortSignal()
    for _ in range(100):
        parent.child()
    gc.collect()
    assert len(parent._children) == 0


def test_child_with_a_callback_survives_until_the_parent_aborts() -> None:
    parent, seen = AbortSignal(), []
    parent.child().on_abort(lambda: seen.append("aborted"))
    gc.collect()
    parent.abort()
    assert seen == ["aborted"]


def test_racing_aborts_call_back_once() -> None:
    for _ in range(50):
        signal, seen, barrier = AbortSignal(), [], threading.Barrier(4)  # type: ignore[var-annotated]
        signal.on_abort(lambda seen=seen: seen.append(1))  # type: ignore[misc]

        def abort(signal: AbortSignal = signal, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            signal.abort()

        threads = [threading.Thread(target=abort) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert seen == [1]


def test_parent_forgets_a_child_whose_callbacks_were_taken_back_or_ran() -> None:
    parent = AbortSignal()
    parent.child().child().on_abort(print)()
    child = parent.child()
    child.on_abort(lambda: None)
    child.abort()
    del child
    gc.collect()
    assert (len(parent._children), len(parent._callbacks)) == (0, 0)


# -- asyncio -------------------------------------------------------------------------------------------------


def test_async_wait_leaves_the_event_loop_free_and_sees_an_abort_from_another_thread() -> None:
    async def main() -> bool:
        signal = AbortSignal()
        task = asyncio.ensure_future(signal.wait_async())
        await asyncio.sleep(0)  # it waits by now, and the loop still runs
        await asyncio.to_thread(signal.abort)
        return await task

    assert asyncio.run(main()) is True


def test_async_wait_for_what_was_aborted_is_true_at_once_also_with_no_time() -> None:
    async def main() -> list[bool]:
        signal = AbortSignal()
        signal.abort()
        return [await signal.wait_async(), await signal.wait_async(0)]

    assert asyncio.run(main()) == [True, True]


def test_async_wait_with_no_time_is_false() -> None:
    with FakeClock():
        assert asyncio.run(AbortSignal().wait_async(0)) is False


def test_async_wait_is_on_the_clock_and_leaves_nothing_behind() -> None:
    async def main() -> list[object]:
        signal = AbortSignal()
        with FakeClock() as clock:
            late = asyncio.ensure_future(signal.wait_async(5))
            await asyncio.to_thread(clock.wait_for_waiters, 1)
            clock.advance(4.9)
            early = asyncio.ensure_future(signal.wait_async(5))
            await asyncio.to_thread(clock.wait_for_waiters, 2)
            clock.advance(0.1)
            seen: list[object] = [await late, len(signal._callbacks), clock.waiters()]
            signal.abort()
            return [*seen, await early, len(signal._callbacks), clock.waiters()]

    assert asyncio.run(main()) == [False, 1, 1, True, 0, 0]


def test_cancelled_async_wait_leaves_nothing_behind() -> None:
    async def main() -> tuple[int, int, bool]:
        signal = AbortSignal()
        with FakeClock() as clock:
            task = asyncio.ensure_future(signal.wait_async(5))
            await asyncio.to_thread(clock.wait_for_waiters, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return len(signal._callbacks), clock.waiters(), signal.aborted

    assert asyncio.run(main()) == (0, 0, False)


def test_async_wait_on_a_child_sees_the_abort_of_its_parent_and_unties_it_after() -> None:
    async def main() -> tuple[bool, int]:
        parent = AbortSignal()
        task = asyncio.ensure_future(parent.child().wait_async())
        await asyncio.sleep(0)
        gc.collect()
        parent.abort("over")
        return await task, len(parent._callbacks)

    assert asyncio.run(main()) == (True, 0)


def test_cancelled_async_wait_on_a_child_unties_it_from_its_parent() -> None:
    async def main() -> tuple[int, int]:
        parent = AbortSignal()
        task = asyncio.ensure_future(parent.child().wait_async())
        await asyncio.sleep(0)
        tied = len(parent._callbacks)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return tied, len(parent._callbacks)

    assert asyncio.run(main()) == (1, 0)


def test_abort_after_the_event_loop_of_a_wait_was_closed_reaches_the_others() -> None:
    signal, seen = AbortSignal(), []
    loop = asyncio.new_event_loop()
    waiting = signal.wait_async()
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    signal.on_abort(lambda: seen.append("aborted"))
    signal.abort()
    assert seen == ["aborted"]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    waiting.close()


# -- in actors -----------------------------------------------------------------------------------------------


def test_actor_that_waits_is_parked_alone() -> None:
    signal, entered = AbortSignal(), threading.Event()
    waits, other = Recorder.start(), Recorder.start()

    def wait(actor: Recorder) -> bool:
        entered.set()
        return signal.wait(LIMIT)

    future = waits.ask(("do", wait), block=False)
    assert entered.wait(LIMIT)
    assert other.ask("hello", timeout=LIMIT) == "hello"
    other.tell(("do", lambda actor: signal.abort("by the other")))
    assert future.get(timeout=LIMIT) is True


def test_actors_wait_times_out_on_the_clock_while_others_go_on() -> None:
    signal = AbortSignal()
    waits, other = Recorder.start(), Recorder.start()
    with FakeClock() as clock:
        future = waits.ask(("do", lambda actor: signal.wait(5)), block=False)
        clock.wait_for_waiters(1)
        assert other.ask("hello") == "hello"
        clock.advance(5)
        assert future.get() is False


def test_abort_in_one_actor_runs_the_callbacks_of_another_there() -> None:
    signal, seen = AbortSignal(), []
    aborts = Recorder.start()
    Recorder.start().ask(("do", lambda actor: signal.on_abort(lambda: seen.append(current_actor()))))
    aborts.ask(("do", lambda actor: signal.abort()))
    assert seen == [aborts]
