from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from beamlens_actors import Actor, ActorDead, Crash, Down, ExitReason, Killed, Normal
from beamlens_actors.testing import Probe
from tests.actors.helpers import LIMIT, Refused, gone

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def hasty_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run_all(*targets: Any) -> None:
    errors: list[BaseException] = []

    def guarded(fn: Any) -> None:
        try:
            fn()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(fn,), daemon=True) for fn in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "hung"
    assert errors == []


class Collector(Actor):
    def __init__(self, out: list[Any]) -> None:
        super().__init__()
        self.out = out
        self.inside = False

    def on_receive(self, message: Any) -> Any:
        assert not self.inside, "re-entered"
        self.inside = True
        self.out.append(message)
        self.inside = False
        return message


def test_many_foreign_threads_no_loss_and_each_senders_order_is_kept() -> None:
    out: list[Any] = []
    ref = Collector.options(capacity=200_000).start(out)
    senders, messages = 8, 2_500

    def sender(number: int) -> Any:
        def send() -> None:
            for index in range(messages):
                if index % 50 == 0:
                    assert ref.ask((number, index), timeout=LIMIT) == (number, index)
                else:
                    ref.tell((number, index))

        return send

    run_all(*(sender(number) for number in range(senders)))
    ref.ask("end", timeout=LIMIT)
    assert out.pop() == "end"
    for number in range(senders):
        assert [index for who, index in out if who == number] == list(range(messages))
    assert len(out) == senders * messages


@pytest.mark.parametrize("how", ["stop", "kill", "crash", "self-stop"])
def test_no_ask_is_lost_when_the_actor_ends_under_traffic(how: str) -> None:
    handled: list[Any] = []

    class Ends(Collector):
        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise Refused
            if message == "self-stop":
                self.stop()
            return super().on_receive(message)

        def on_terminate(self, reason: ExitReason) -> None:
            reasons.append(reason)

    reasons: list[ExitReason] = []
    outcome: Counter[str] = Counter()
    rounds, askers = 40, 4
    for _ in range(rounds):
        ref = Ends.options(capacity=10).start(handled)
        barrier = threading.Barrier(askers + 1)

        def asker(ref: Any = ref, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            while True:
                try:
                    ref.ask("x", timeout=LIMIT)
                except ActorDead:
                    outcome["dead"] += 1
                    return

        def ender(ref: Any = ref, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            if how in ("stop", "kill"):
                getattr(ref, how)()
            else:
                ref.tell(how)

        run_all(ender, *(asker for _ in range(askers)))
        ref.join(LIMIT)
        gone(ref)
    assert outcome["dead"] == rounds * askers
    kinds = {"stop": Normal, "kill": Killed, "crash": Crash, "self-stop": Normal}
    assert [type(reason) for reason in reasons] == [kinds[how]] * rounds


def test_every_monitor_of_actors_ending_in_every_way_gets_exactly_one_down() -> None:
    probe = Probe.start()
    ends = ("stop", "kill", "crash")
    refs = [Collector.start([]) for _ in range(90)]
    handles = [probe.watch(ref) for ref in refs]

    def end(kind: int) -> Any:
        def act() -> None:
            for ref in refs[kind::3]:
                if ends[kind] == "crash":
                    ref.exit(Crash(Refused()))
                else:
                    getattr(ref, ends[kind])()

        return act

    run_all(*(end(kind) for kind in range(3)))
    for ref in refs:
        ref.join(LIMIT)
    downs = [probe.expect(Down, timeout=LIMIT) for _ in refs]
    probe.expect_nothing()
    assert {down.monitor for down in downs} == set(handles)
    assert Counter(type(down.reason) for down in downs) == {Normal: 30, Killed: 30, Crash: 30}


def test_bounded_mailbox_under_many_senders_never_exceeds_its_capacity_and_adds_up() -> None:
    out: list[Any] = []
    ref = Collector.options(capacity=5, overflow="drop_oldest").start(out)

    def send() -> None:
        for index in range(1_000):
            ref.tell(index)

    run_all(*([send] * 6))
    ref.ask("end", timeout=LIMIT)
    stats = ref.mailbox_stats()
    assert stats.high_water <= 5
    assert len(out) - 1 + stats.dropped == 6_000


def test_blocking_senders_lose_nothing() -> None:
    out: list[Any] = []
    ref = Collector.options(capacity=3, overflow="block", block_timeout=60).start(out)

    def send() -> None:
        for index in range(300):
            ref.tell(index)

    run_all(*([send] * 6))
    ref.ask("end", timeout=LIMIT)
    assert len(out) - 1 == 1_800
    assert ref.mailbox_stats().dropped == 0


def test_actors_asking_each_other_in_a_ring_of_starts_and_stops_do_not_hang() -> None:
    class Relay(Actor):
        def on_receive(self, message: Any) -> Any:
            if message == 0:
                return 0
            child = Relay.start()
            answer = child.ask(message - 1, timeout=LIMIT)
            child.stop(timeout=LIMIT)
            return answer + 1

    refs = [Relay.start() for _ in range(4)]

    def drive(ref: Any) -> Any:
        def act() -> None:
            for _ in range(5):
                assert ref.ask(10, timeout=60) == 10

        return act

    run_all(*(drive(ref) for ref in refs))
