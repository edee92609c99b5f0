from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from beamlens_actors import (
    Actor,
    ActorDead,
    AskTimeout,
    Crash,
    Killed,
    MailboxFull,
    Normal,
    SelfAsk,
    Shutdown,
    StopTimeout,
)
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


def test_tell_and_ask_keep_the_order_of_one_sender() -> None:
    ref = Recorder.start()
    for number in range(100):
        ref.tell(number)
    assert ref.ask("log") == ["start", *range(100)]


@pytest.mark.parametrize("permits", [0, 1])
def test_what_is_told_while_the_actor_ends_is_refused(permits: int) -> None:
    log: list[Any] = []
    ref = Recorder.start(log)
    ref.ask("brings the lane its queue")

    def ends() -> Iterator[None]:
        ref.stop()
        yield from [None] * permits

    ref._lane.permits = ends()
    with pytest.raises(ActorDead):
        ref.tell("late")
    assert "late" not in log


def test_ask_without_blocking_returns_a_future() -> None:
    future = Recorder.start().ask("x", block=False)
    assert future.get(timeout=LIMIT) == "x"
    assert future.done()


def test_ask_timeout_is_also_pykkas_and_pythons(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    with pytest.raises(AskTimeout) as caught:
        ref.ask("x", timeout=0)
    assert isinstance(caught.value, pykka.Timeout)
    assert isinstance(caught.value, TimeoutError)


def test_ask_timeout_is_on_the_clock_and_the_late_answer_lands_nowhere(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    result: list[Any] = []

    def asker() -> None:
        try:
            ref.ask("first", timeout=5)
        except AskTimeout:
            result.append("timeout")
        gate.set()
        result.append(ref.ask("second"))

    with FakeClock() as clock:
        thread = threading.Thread(target=asker)
        thread.start()
        clock.wait_for_waiters(1)
        clock.advance(5)
        thread.join(LIMIT)
    assert result == ["timeout", "second"]


def test_tell_and_ask_to_the_dead_raise_actor_dead_with_the_reason() -> None:
    ref = Recorder.start()
    ref.stop(Shutdown("x"))
    with pytest.raises(ActorDead) as told:
        ref.tell(1)
    with pytest.raises(ActorDead) as asked:
        ref.ask(1)
    future = ref.ask(1, block=False)
    with pytest.raises(pykka.ActorDeadError):
        future.get()
    assert told.value.reason == asked.value.reason == Shutdown("x")


def test_actor_asking_itself_is_refused_at_once() -> None:
    ref = Recorder.start()

    def ask_self(actor: Any) -> Any:
        with pytest.raises(SelfAsk):
            actor.actor_ref.ask("me")
        with pytest.raises(SelfAsk):
            actor.actor_ref.ask("me", block=False).get()
        with pytest.raises(SelfAsk):
            actor.actor_ref.stop()
        with pytest.raises(SelfAsk):
            actor.actor_ref.join()
        return "refused"

    assert ref.ask(("do", ask_self), timeout=LIMIT) == "refused"
    assert ref.is_alive()


def test_asking_the_one_that_is_starting_it_is_refused_at_any_depth() -> None:
    class Child(Actor):
        def __init__(self, grandparent: Any, depth: int) -> None:
            super().__init__()
            self.grandparent, self.depth = grandparent, depth

        def on_start(self) -> None:
            if self.depth:
                Child.start(self.grandparent, self.depth - 1)
            else:
                self.grandparent.ask("hello", timeout=LIMIT)

    ref = Recorder.start()

    def start_child(actor: Any) -> Any:
        with pytest.raises(SelfAsk):
            Child.start(actor.actor_ref, 2)
        return "refused"

    assert ref.ask(("do", start_child), timeout=LIMIT) == "refused"


def test_ask_async_answers_raises_and_times_out_without_blocking_the_loop(gate: threading.Event) -> None:
    async def main() -> list[Any]:
        ref = Recorder.start()
        seen = [await ref.ask_async("x"), await ref.ask("y", block=False)]
        with pytest.raises(Refused):
            await ref.ask_async(("refuse", Refused()))
        entered = threading.Event()
        slow = asyncio.ensure_future(ref.ask_async(("wait", entered, gate)))
        await asyncio.to_thread(entered.wait, LIMIT)
        with pytest.raises(AskTimeout):
            await ref.ask_async("z", timeout=0.01)
        gate.set()
        await slow
        return seen

    assert asyncio.run(main()) == ["x", "y"]


def test_ask_async_cancelled_leaves_the_actor_alone() -> None:
    async def main() -> Any:
        gate, entered = threading.Event(), threading.Event()
        ref = Recorder.start()
        task = asyncio.ensure_future(ref.ask_async(("wait", entered, gate)))
        await asyncio.to_thread(entered.wait, LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        return await ref.ask_async("next")

    assert asyncio.run(main()) == "next"


def test_proxy_reads_writes_calls_and_defers() -> None:
    class Counter(Actor):
        def __init__(self) -> None:
            super().__init__()
            self.n = 0

        def add(self, n: int) -> int:
            self.n += n
            return self.n

    proxy = Counter.start().proxy()
    assert proxy.add(2).get(timeout=LIMIT) == 2
    proxy.add.defer(3)
    assert proxy.n.get(timeout=LIMIT) == 5
    proxy.n = 7
    assert proxy.n.get(timeout=LIMIT) == 7


def test_stop_is_true_then_false() -> None:
    ref = Recorder.start()
    assert ref.stop() is True
    assert ref.stop() is False
    assert ref.stop(block=False).get(timeout=0) is False


def test_stop_without_blocking_gives_a_future_that_can_be_awaited() -> None:
    async def main() -> bool:
        return await Recorder.start().stop(block=False)

    assert asyncio.run(main()) is True


def test_stop_leaves_no_thread_behind() -> None:
    ref = Recorder.options(name="gone-after-stop").start()
    ref.stop()
    assert "gone-after-stop" not in {thread.name for thread in threading.enumerate()}


def test_stop_timeout_leaves_the_request_standing(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    with pytest.raises(StopTimeout):
        ref.stop(timeout=0)
    with pytest.raises(StopTimeout):
        ref.join(timeout=0)
    gate.set()
    assert ref.join(LIMIT) == Normal()


def test_reason_must_be_an_instance() -> None:
    ref = Recorder.start()
    with pytest.raises(TypeError, match=r"Normal\(\)"):
        ref.stop(Normal)
    with pytest.raises(TypeError):
        ref.exit("done")  # type: ignore[arg-type]
    assert ref.is_alive()


@pytest.mark.parametrize("reason", [Shutdown(), Shutdown("why"), Killed(), Crash(Refused())])
def test_exit_ends_with_the_reason(reason: Any) -> None:
    ref = Recorder.start()
    ref.exit(reason)
    assert ref.join(LIMIT) == reason


def test_exit_normal_is_ignored_from_others_and_ends_oneself() -> None:
    ref, other = Recorder.start(), Recorder.start()
    ref.exit(Normal())
    other.ask(("do", lambda actor: ref.exit(Normal())))
    assert ref.ask("alive") == "alive"
    ref.tell(("do", lambda actor: actor.actor_ref.exit(Normal())))
    assert ref.join(LIMIT) == Normal()


def test_exit_callback_gets_ref_and_reason_once() -> None:
    seen: list[Any] = []
    ref = Recorder.start()
    ref.add_exit_callback(lambda *args: seen.append(args))
    remove = ref.add_exit_callback(lambda *args: seen.append("removed"))
    remove()
    ref.add_exit_callback(lambda *args: 1 / 0)
    ref.stop()
    assert seen == [(ref, Normal())]
    ref.add_exit_callback(lambda *args: seen.append(args))
    assert seen == [(ref, Normal())] * 2


@pytest.mark.parametrize(
    ("overflow", "handled", "failed"),
    [("drop_oldest", ["b", "c"], "a"), ("drop_newest", ["a", "b"], "c"), ("reject", ["a", "b"], "c")],
)
def test_question_that_overflows_fails_with_mailbox_full(
    gate: threading.Event, overflow: Any, handled: list[str], failed: str
) -> None:
    log: list[Any] = []
    ref = Recorder.options(capacity=2, overflow=overflow).start(log)
    busy(ref, gate)
    futures = {name: ref.ask(name, block=False) for name in "abc"}
    assert ref.mailbox_stats() == (2, 2, 1, 2)
    gate.set()
    for name in handled:
        assert futures[name].get(timeout=LIMIT) == name
    with pytest.raises(MailboxFull):
        futures[failed].get(timeout=LIMIT)
    assert log[2:] == handled


def test_tell_to_a_full_mailbox_is_refused_and_the_system_lane_still_open(gate: threading.Event) -> None:
    ref = Recorder.options(capacity=1).start()
    busy(ref, gate)
    ref.tell("a")
    with pytest.raises(MailboxFull):
        ref.tell("b")
    stopped = ref.stop(block=False)
    gate.set()
    assert stopped.get(timeout=LIMIT) is True
