from __future__ import annotations

import gc
import itertools
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from beamlens_actors import (
    Actor,
    ActorDead,
    Crash,
    Down,
    ExitReason,
    Killed,
    MailboxFull,
    Normal,
    QueueMailbox,
    Registry,
    ReplyError,
    Shutdown,
    abandoned,
    clock,
    current_actor,
    offload,
)
from beamlens_actors.backends import BACKENDS, get_backend
from beamlens_actors.backends.hub import Worker
from beamlens_actors.testing import Probe
from tests.actors.helpers import LIMIT, Refused, gone

if TYPE_CHECKING:
    from collections.abc import Iterator


SECONDS = float(os.environ.get("BEAMLENS_STRESS_SECONDS", "2"))
"""How long the traffic lasts."""


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
        thread.join(SECONDS + 60)
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
    refused: list[ActorDead] = []
    rounds, askers = 40, 4
    for _ in range(rounds):
        ref = Ends.options(capacity=10).start(handled)
        barrier = threading.Barrier(askers + 1)

        def asker(ref: Any = ref, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            while True:
                try:
                    ref.ask("x", timeout=LIMIT)
                except ActorDead as error:
                    refused.append(error)  # not a Counter, which threads would have to share a lock for
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
    assert len(refused) == rounds * askers
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


class Town:
    """Places, each with an actor that is replaced when it ends, some with a mailbox that stays."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.registry = Registry()
        self.over = threading.Event()
        self.wrong: list[Any] = []
        self.probe = Probe.start()
        self.handles: list[Any] = []
        self.ended: Counter[int] = Counter()
        policies = ("reject", "drop_oldest", "drop_newest", "block")
        self.places = [
            Place(self, number, backend, policy, stays)
            for number, (stays, policy, backend) in enumerate(itertools.product((False, True), policies, BACKENDS))
        ]

    def any_place(self, rng: random.Random) -> Place:
        return rng.choice(self.places)


class Place:
    """Where one actor after the other lives."""

    def __init__(self, town: Town, number: int, backend: str, policy: Any, stays: bool) -> None:
        self.town = town
        self.number = number
        self.lock = threading.Lock()
        options: dict[str, Any] = {"overflow": policy, "capacity": 20, "block_timeout": 60}
        self.options: dict[str, Any] = {"backend": backend, "register": (town.registry, number)}
        self.options |= {"mailbox": QueueMailbox(20, policy, 60)} if stays else options
        self.refs: list[Any] = []
        self.settle_in()

    def settle_in(self) -> None:
        ref = Citizen.options(**self.options).start(self.town, self.number, len(self.refs))
        self.refs.append(ref)
        self.town.handles.append(self.town.probe.watch(ref))

    @property
    def ref(self) -> Any:
        return self.refs[-1]


class Citizen(Actor):
    """Handles what it is sent in many ways, and sees that nothing comes twice, too early or while it is at work."""

    def __init__(self, town: Town, number: int, generation: int) -> None:
        super().__init__()
        self.town, self.number, self.generation = town, number, generation
        self.asked = 0
        self.inside = False
        self.last: dict[Any, int] = {}

    def on_receive(self, message: Any) -> Any:
        ref, sender, index, what = message
        if ref is not self.actor_ref or current_actor() is not ref:
            self.town.wrong.append(("another's", message))
        if self.inside:
            self.town.wrong.append(("re-entered", message))
        if self.last.get(sender, -1) >= index:
            self.town.wrong.append(("out of order", message, self.last))
        self.inside, self.last[sender] = True, index
        try:
            self.act(what)
        finally:
            self.inside = False
        return index

    def act(self, what: str) -> None:
        match what:
            case "crash":
                raise Refused
            case "refuse":
                raise ReplyError(Refused())
            case "quit":
                self.stop(Shutdown())
            case "nap":
                clock.sleep(0.001)
            case "offload":
                offload(time.sleep, 0.001)
            case "neighbour" if self.number + 1 < len(self.town.places):
                # Only ever upwards, so that nobody waits for himself.
                ref = self.town.places[self.number + 1].ref
                try:
                    self.asked += 1
                    ref.ask((ref, self.actor_ref, self.asked, "nap"), timeout=60)
                except (ActorDead, MailboxFull):
                    pass

    def on_terminate(self, reason: ExitReason) -> None:
        self.town.ended[id(self.actor_ref)] += 1


WHATS = ["say"] * 60 + ["nap"] * 6 + ["neighbour"] * 6 + ["offload"] * 3 + ["refuse"] * 4 + ["crash", "quit"]

EXPECTED = (ActorDead, MailboxFull, Refused)


def talk(town: Town, sender: int, rng: random.Random) -> None:
    open_questions: list[tuple[Any, int]] = []
    for index in itertools.count():
        if town.over.is_set():
            break
        ref = town.any_place(rng).ref
        message = (ref, sender, index, rng.choice(WHATS))
        kind = rng.random()
        try:
            if kind < 0.5:
                ref.tell(message)
            elif kind < 0.8:
                assert ref.ask(message, timeout=60) == index
            else:
                open_questions.append((ref.ask(message, block=False), index))
        except EXPECTED:
            pass
        if len(open_questions) > 50:
            settle(open_questions)
    settle(open_questions)


def settle(questions: list[tuple[Any, int]]) -> None:
    for future, index in questions:
        try:
            assert future.get(timeout=60) == index
        except EXPECTED:
            pass
    questions.clear()


def disturb(town: Town, rng: random.Random) -> None:
    while not town.over.is_set():
        place = town.any_place(rng)
        with place.lock:
            ref = place.ref
            match rng.randrange(8):
                case 0:
                    ref.stop(timeout=60)
                case 1:
                    ref.kill()
                case 2:
                    ref.exit(Shutdown())
                case 3:
                    ref.exit(Crash(Refused()))
                case 4:
                    ref.stop(block=False)
                    ref.kill()
                case _:
                    if ref.is_alive():
                        continue
            ref.join(60)
            place.settle_in()


@pytest.mark.backend("threads")
@pytest.mark.timeout(SECONDS + 180)
def test_traffic_through_crashes_stops_kills_and_restarts_on_both_backends_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "beamlens_actors")
    seed = random.randrange(2**32)
    before = set(threading.enumerate())
    town = Town(seed)
    end = threading.Timer(SECONDS, town.over.set)
    end.start()
    try:
        run_all(
            *(lambda n=n: talk(town, n, random.Random(seed + n)) for n in range(6)),
            *(lambda n=n: disturb(town, random.Random(seed - n)) for n in range(1, 3)),
        )
    finally:
        town.over.set()
        end.cancel()
    assert town.wrong == [], f"seed {seed}"
    refs = [ref for place in town.places for ref in place.refs]
    for ref in refs:
        ref.kill()
    for ref in refs:
        ref.join(LIMIT)
        gone(ref)
    downs = [town.probe.expect(Down, timeout=LIMIT).monitor for _ in refs]
    town.probe.expect_nothing()
    assert Counter(downs) == Counter(town.handles)
    assert town.ended == Counter(map(id, refs))
    assert (town.registry.select(), town.registry._by_ref) == ([], {})
    town.probe.stop()
    assert (pykka.ActorRegistry.get_all(), abandoned()) == ([], [])
    threads, greenlets = (get_backend(name) for name in BACKENDS)
    assert threads._cells == threads._slots == threads._abandoned == greenlets._cells == {}  # type: ignore[attr-defined]
    left = [thread.name for thread in set(threading.enumerate()) - before if thread is not end]
    assert {name for name in left if not name.startswith("beamlens-")} == set()
    assert parked_workers(greenlets._hub) == 0  # type: ignore[attr-defined]


def parked_workers(hub: Any) -> int:
    """How many greenlets of the hub live that are not at its disposal."""
    counted: list[int] = []
    looked = threading.Event()

    def count() -> None:
        alive = [one for one in gc.get_objects() if type(one) is Worker and not one.dead]
        counted.append(len(alive) - len(hub._spare))
        looked.set()

    hub.call(count)
    assert looked.wait(LIMIT)
    return counted[0]
