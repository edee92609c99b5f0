from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from beamlens_actors import Actor, ActorDead, ExitReason, Killed, Normal, SelfAsk, StopTimeout
from tests.actors.helpers import LIMIT, Recorder, Refused, busy

REGISTRY = pykka.ActorRegistry


class Animal(Actor):
    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log = [] if log is None else log

    def on_receive(self, message: Any) -> Any:
        self.log.append((type(self).__name__, message))
        return message

    def on_terminate(self, reason: ExitReason) -> None:
        self.log.append((type(self).__name__, "ended"))


class Dog(Animal):
    pass


class Puppy(Dog):
    pass


class Cat(Animal):
    pass


def start_all(log: list[Any] | None = None) -> list[Any]:
    return [kind.start(log) for kind in (Dog, Puppy, Cat)]


def settle(refs: list[Any], log: list[Any]) -> list[Any]:
    """The log, once everybody has handled what it was sent."""
    for ref in refs:
        ref.ask("sync", timeout=LIMIT)
    return sorted(entry for entry in log if entry[1] != "sync")


def test_all_are_listed_in_the_order_they_were_started() -> None:
    refs = start_all()
    assert [ref for ref in REGISTRY.get_all() if ref in refs] == refs


def test_list_is_a_copy() -> None:
    refs = start_all()
    REGISTRY.get_all().clear()
    assert [ref for ref in REGISTRY.get_all() if ref in refs] == refs


def test_class_finds_its_instances_and_those_of_its_subclasses() -> None:
    dog, puppy, cat = start_all()
    assert REGISTRY.get_by_class(Dog) == [dog, puppy]
    assert REGISTRY.get_by_class(Animal) == [dog, puppy, cat]
    assert REGISTRY.get_by_class(Recorder) == []


def test_class_name_finds_exactly_that_class() -> None:
    dog, puppy, cat = start_all()
    assert REGISTRY.get_by_class_name("Dog") == [dog]
    assert REGISTRY.get_by_class_name("Animal") == []


def test_urn_finds_the_actor_until_it_ends() -> None:
    ref = Dog.start()
    urn = ref.actor_urn
    assert REGISTRY.get_by_urn(urn) is ref
    ref.stop()
    assert REGISTRY.get_by_urn(urn) is None
    assert REGISTRY.get_by_urn("urn:uuid:of-nobody") is None


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda ref: ref.stop(), Normal()),
        (lambda ref: ref.kill(), Killed()),
        (lambda ref: ref.tell(("raise", Refused("x"))), None),
        (lambda ref: ref.tell(("stop",)), Normal()),
    ],
    ids=["stop", "kill", "crash", "self-stop"],
)
def test_ended_actor_is_not_listed_any_more(end: Any, reason: ExitReason | None) -> None:
    ref = Recorder.start()
    end(ref)
    ended = ref.join(LIMIT)
    assert REGISTRY.get_all() == []
    assert reason in (None, ended)


def test_actor_is_listed_in_on_start_and_while_it_terminates() -> None:
    seen: list[Any] = []

    class Looks(Actor):
        def on_start(self) -> None:
            seen.append(REGISTRY.get_all())

        def on_terminate(self, reason: ExitReason) -> None:
            seen.append(REGISTRY.get_all())

    ref = Looks.start()
    ref.stop()
    assert seen == [[ref], [ref]]


def test_unregistered_by_hand_an_actor_lives_on_unlisted() -> None:
    ref = Dog.start()
    REGISTRY.unregister(ref)
    REGISTRY.unregister(ref)
    assert REGISTRY.get_all() == []
    assert ref.ask("hello") == "hello"
    REGISTRY.register(ref)
    assert REGISTRY.get_all() == [ref]
    ref.stop()
    assert REGISTRY.get_all() == []


def test_actor_started_while_the_list_is_searched_does_not_disturb_the_search() -> None:
    class StartsOneMore(type):
        def __subclasscheck__(cls, other: type) -> bool:
            Dog.start()
            return True

    class Anything(metaclass=StartsOneMore):
        pass

    refs = start_all()
    assert REGISTRY.get_by_class(Anything) == refs  # type: ignore[type-var]


def test_broadcast_reaches_everybody() -> None:
    log: list[Any] = []
    refs = start_all(log)
    REGISTRY.broadcast("news")
    assert settle(refs, log) == [("Cat", "news"), ("Dog", "news"), ("Puppy", "news")]


@pytest.mark.parametrize(
    ("target", "reached"),
    [(Dog, ["Dog", "Puppy"]), ("Dog", ["Dog"]), ("Animal", []), (Cat, ["Cat"])],
    ids=["class", "class-name", "name-of-a-base", "other-class"],
)
def test_broadcast_to_a_target_class_reaches_those_found_by_it(target: Any, reached: list[str]) -> None:
    log: list[Any] = []
    refs = start_all(log)
    REGISTRY.broadcast("news", target_class=target)
    assert [name for name, _ in settle(refs, log)] == reached


def test_stop_all_stops_the_last_started_first() -> None:
    log: list[Any] = []
    refs = start_all(log)
    assert REGISTRY.stop_all() == [True, True, True]
    assert [name for name, _ in log] == ["Cat", "Puppy", "Dog"]
    assert [ref.is_alive() for ref in refs] == [False, False, False]
    assert REGISTRY.get_all() == []


def test_stop_all_of_nobody_is_an_empty_list() -> None:
    assert REGISTRY.stop_all() == []
    assert REGISTRY.stop_all(block=False) == []


def test_stop_all_without_blocking_returns_futures(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    (future,) = REGISTRY.stop_all(block=False)
    assert ref.is_alive()
    gate.set()
    assert future.get(timeout=LIMIT) is True
    assert not ref.is_alive()


def test_stop_all_with_a_timeout_gives_up_at_the_first_that_is_late(gate: threading.Event) -> None:
    first, late = Recorder.start(), Recorder.options(name="late").start()
    busy(late, gate)
    with pytest.raises(StopTimeout, match=r"'late' did not end within 0 s"):
        REGISTRY.stop_all(timeout=0)
    assert first.is_alive()
    gate.set()
    assert late.join(LIMIT) == Normal()


def test_stop_that_is_late_is_pykkas_timeout_too(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0)
    gate.set()


def test_stop_all_from_inside_an_actor_must_not_wait_for_itself() -> None:
    ref = Recorder.start()

    def stop_all(actor: Any) -> None:
        with pytest.raises(SelfAsk):
            REGISTRY.stop_all()
        REGISTRY.stop_all(block=False)

    assert ref.ask(("do", stop_all), timeout=LIMIT) is None
    assert ref.join(LIMIT) == Normal()


def test_broadcast_raises_when_one_ended_since_it_was_listed() -> None:
    ref = Dog.options(name="rex").start()
    ref.stop()
    REGISTRY.register(ref)
    with pytest.raises(ActorDead, match="rex"):
        REGISTRY.broadcast("news")
    REGISTRY.unregister(ref)
