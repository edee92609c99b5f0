from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka
import pytest
from pykka import messages

from beamlens_actors import Actor, ActorDead, Crash, Future, MailboxFull, ReplyError, SelfAsk
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


class Engine:
    """A part that proxies do not look into."""

    speed = 1


class Lamp:
    pykka_traversable = True

    def __init__(self) -> None:
        self.on = False

    def switch(self) -> bool:
        self.on = not self.on
        return self.on


@pykka.traversable
class Cabin:
    def __init__(self) -> None:
        self.seats = 4
        self.lamp = Lamp()
        self._secret = "cabin"

    def add_seats(self, number: int) -> int:
        self.seats += number
        return self.seats


class Car(Recorder):
    wheels = 4

    def __init__(self) -> None:
        super().__init__()
        self.cabin = Cabin()
        self.engine = Engine()
        self.boot = pykka.traversable(Boot())
        self.driver: Any = None
        self.horn = lambda: "honk"
        self._secret = "car"
        self.looked_up = 0

    @property
    def colour(self) -> str:
        self.looked_up += 1
        return "red"

    @colour.setter
    def colour(self, value: str) -> None:
        self.log.append(value)

    @property
    def number(self) -> int:
        return 7

    @staticmethod
    def honk() -> str:
        return "honk"

    def add(self, one: int, *, other: int = 0) -> int:
        return one + other

    def where(self) -> Any:
        return threading.current_thread()

    def refuse(self) -> None:
        raise ReplyError(Refused("not now"))

    def crash(self) -> None:
        raise Refused("broken")

    def seen(self) -> list[Any]:
        return list(self.log)


class Boot:
    bags = 2


@pytest.fixture
def ref(backend: str) -> Any:
    return Car.start()


@pytest.fixture
def proxy(ref: Any) -> Any:
    return ref.proxy()


def got(future: Any) -> Any:
    assert isinstance(future, Future)
    return future.get(timeout=LIMIT)


# -- attributes ----------------------------------------------------------------------------------------------


def test_class_and_instance_attributes_are_read_as_futures(proxy: Any) -> None:
    assert [got(proxy.wheels), got(proxy.driver)] == [4, None]


def test_attribute_is_set_once_the_assignment_returns(proxy: Any) -> None:
    proxy.driver = "bob"
    assert got(proxy.driver) == "bob"


def test_attribute_that_was_not_there_can_be_set_and_then_read(proxy: Any) -> None:
    with pytest.raises(AttributeError):
        _ = proxy.trailer
    proxy.trailer = "boat"
    assert got(proxy.trailer) == "boat"


def test_property_is_read_in_the_actor_and_not_by_looking_at_the_proxy(ref: Any) -> None:
    proxy = ref.proxy()
    dir(proxy)
    assert got(proxy.looked_up) == 0
    assert got(proxy.colour) == "red"
    assert got(proxy.looked_up) == 1


def test_property_with_a_setter_can_be_set(proxy: Any) -> None:
    proxy.colour = "green"
    assert got(proxy.seen()) == ["start", "green"]


def test_property_without_a_setter_raises_in_the_one_who_assigns(ref: Any, proxy: Any) -> None:
    with pytest.raises(AttributeError):
        proxy.number = 8
    assert isinstance(ref.join(LIMIT), Crash)


def test_private_attributes_are_hidden(ref: Any, proxy: Any) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute '_secret'"):
        _ = proxy._secret
    with pytest.raises(AttributeError):
        _ = proxy.cabin._secret
    proxy._secret = "the proxy's own"
    assert ref.ask(("do", lambda actor: actor._secret)) == "car"


def test_unknown_attribute_raises_at_once_with_its_name_and_the_actor_lives(ref: Any, proxy: Any) -> None:
    with pytest.raises(
        AttributeError, match=r"<ActorProxy for Car 'Car-\d+', attr_path=\(\)> has no attribute 'wings'"
    ):
        _ = proxy.wings
    assert ref.is_alive()


def test_what_the_library_keeps_in_an_actor_is_hidden_and_its_hooks_are_there(proxy: Any) -> None:
    names = dir(proxy)
    assert not [name for name in names if "beamlens" in name]
    assert {"add", "colour", "engine", "wheels", "on_receive", "actor_urn", "trap_exit"} <= set(names)
    assert "_secret" not in names


def test_pykkas_own_attributes_are_those_of_the_ref(ref: Any, proxy: Any) -> None:
    assert proxy.actor_ref is ref
    assert got(proxy.actor_urn) == ref.actor_urn
    assert got(proxy.actor_stopped).is_set() is False


# -- calls ---------------------------------------------------------------------------------------------------


def test_call_runs_in_the_actor_with_its_arguments(proxy: Any, backend: str) -> None:
    assert got(proxy.add(1, other=2)) == 3
    assert got(proxy.where()) is not threading.current_thread()


def test_static_methods_and_functions_in_attributes_are_called(proxy: Any) -> None:
    assert [got(proxy.honk()), got(proxy.horn())] == ["honk", "honk"]


def test_method_that_was_not_called_is_a_callable_proxy(proxy: Any) -> None:
    assert isinstance(proxy.add, pykka.CallableProxy)
    assert proxy.add is proxy.add


def test_calls_are_handled_in_the_order_they_were_made(proxy: Any, gate: threading.Event) -> None:
    busy(proxy.actor_ref, gate)
    futures = [proxy.on_receive(number) for number in range(5)]
    gate.set()
    assert [got(future) for future in futures] == list(range(5))
    assert got(proxy.seen())[2:] == [0, 1, 2, 3, 4]


def test_deferred_call_returns_nothing_and_is_made(proxy: Any) -> None:
    assert proxy.on_receive.defer("later") is None
    assert got(proxy.seen()) == ["start", "later"]


def test_exception_of_a_deferred_call_goes_to_on_failure(ref: Any, proxy: Any) -> None:
    log = got(proxy.log)
    proxy.crash.defer()
    assert str(ref.join(LIMIT).exception) == "broken"
    assert log[1] == ("on_failure", Refused)


def test_exception_of_a_call_is_in_its_future_and_nowhere_else(proxy: Any) -> None:
    future = proxy.crash()
    for _ in range(2):
        with pytest.raises(Refused, match="broken"):
            future.get(timeout=LIMIT)


def test_refusal_reaches_the_caller_and_the_actor_lives(ref: Any, proxy: Any) -> None:
    with pytest.raises(Refused, match="not now"):
        proxy.refuse().get(timeout=LIMIT)
    assert got(proxy.add(1)) == 1


def test_wrong_arguments_are_the_callers_type_error(proxy: Any) -> None:
    with pytest.raises(TypeError, match="other_one"):
        proxy.add(1, other_one=2).get(timeout=LIMIT)


def test_call_can_be_awaited(proxy: Any) -> None:
    async def main() -> Any:
        return [await proxy.add(1), await proxy.wheels]

    assert asyncio.run(main()) == [1, 4]


def test_stop_through_a_proxy_ends_the_actor(ref: Any, proxy: Any) -> None:
    assert got(proxy.stop()) is None
    ref.join(LIMIT)
    assert not ref.is_alive()


def test_call_of_an_actor_that_is_full_fails_in_its_future(gate: threading.Event) -> None:
    ref = Car.options(capacity=1).start()
    proxy = ref.proxy()
    busy(ref, gate)
    proxy.add.defer(1)
    with pytest.raises(MailboxFull):
        proxy.add(1).get(timeout=LIMIT)
    with pytest.raises(MailboxFull):
        proxy.add.defer(1)
    gate.set()


# -- parts ---------------------------------------------------------------------------------------------------


def test_traversable_parts_are_proxies_at_any_depth(proxy: Any) -> None:
    assert isinstance(proxy.cabin, pykka.ActorProxy)
    assert got(proxy.cabin.seats) == 4
    assert got(proxy.cabin.add_seats(1)) == 5
    assert got(proxy.cabin.lamp.switch()) is True
    assert got(proxy.cabin.lamp.on) is True
    assert got(proxy.boot.bags) == 2


def test_attribute_of_a_part_can_be_set(proxy: Any) -> None:
    proxy.cabin.lamp.on = "blue"
    assert got(proxy.cabin.lamp.on) == "blue"


def test_part_that_is_not_traversable_is_itself_in_a_future(proxy: Any) -> None:
    assert type(got(proxy.engine)) is Engine


def test_object_with_slots_cannot_be_marked_traversable() -> None:
    class Slotted:
        __slots__ = ("x",)

    with pytest.raises(ValueError, match="slots"):
        pykka.traversable(Slotted())


# -- the proxy itself ----------------------------------------------------------------------------------------


def test_proxies_are_equal_when_actor_and_path_are(ref: Any, proxy: Any) -> None:
    assert proxy == ref.proxy()
    assert hash(proxy) == hash(ref.proxy())
    assert proxy.cabin == ref.proxy().cabin
    assert proxy != Car.start().proxy()
    assert proxy != proxy.cabin
    assert proxy != ref


def test_repr_shows_actor_and_path() -> None:
    proxy = Car.options(name="herbie").start().proxy()
    assert repr(proxy) == "<ActorProxy for Car 'herbie', attr_path=()>"
    assert repr(proxy.cabin) == "<ActorProxy for Car 'herbie', attr_path=('cabin',)>"


def test_proxy_can_be_made_by_its_class(ref: Any) -> None:
    assert pykka.ActorProxy(actor_ref=ref) == ref.proxy()


def test_proxy_of_an_ended_actor_fails_in_the_future_and_deferred_at_once(ref: Any, proxy: Any) -> None:
    ref.stop()
    with pytest.raises(ActorDead):
        proxy.wheels.get(timeout=LIMIT)
    with pytest.raises(ActorDead):
        proxy.add(1).get(timeout=LIMIT)
    with pytest.raises(ActorDead):
        proxy.add.defer(1)
    with pytest.raises(ActorDead):
        proxy.driver = "bob"
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_messages_of_proxies_can_be_sent_without_one(ref: Any) -> None:
    ref.tell(messages.ProxySetAttr(attr_path=("cabin", "seats"), value=2))
    assert ref.ask(messages.ProxyGetAttr(attr_path=("cabin", "seats"))) == 2
    assert ref.ask(messages.ProxyCall(attr_path=("add",), args=(1,), kwargs={"other": 2})) == 3


def test_proxy_of_one_actor_used_in_another(ref: Any, proxy: Any) -> None:
    other = Recorder.start()

    def drive(actor: Any) -> Any:
        proxy.driver = "alice"
        return [proxy.driver.get(timeout=LIMIT), proxy.add(2).get(timeout=LIMIT)]

    assert other.ask(("do", drive), timeout=LIMIT) == ["alice", 2]


# -- a proxy to oneself --------------------------------------------------------------------------------------


class Worker(Recorder):
    def on_start(self) -> None:
        self._later = self.actor_ref.proxy()

    def work(self, left: int) -> None:
        self.log.append(left)
        if left:
            self._later.work(left - 1)
        else:
            self.stop()

    def wait_for_oneself(self) -> str:
        with pytest.raises(SelfAsk):
            self._later.work(0).get()
        with pytest.raises(SelfAsk):
            self._later.log = []
        return "refused"


def test_proxy_to_oneself_does_the_rest_after_what_waits_already(gate: threading.Event) -> None:
    log: list[Any] = []
    ref = Worker.start(log)
    proxy: Any = ref.proxy()
    busy(ref, gate)
    proxy.work.defer(2)
    ref.tell("between")
    gate.set()
    ref.join(LIMIT)
    assert log[1:5] == [2, "between", 1, 0]


def test_waiting_for_oneself_through_a_proxy_is_refused() -> None:
    assert got(Worker.start().proxy().wait_for_oneself()) == "refused"


def test_public_proxy_to_oneself_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Public(Actor):
        def on_start(self) -> None:
            self.me = self.actor_ref.proxy()

    proxy: Any = Public.start().proxy()
    assert "'me' is a proxy to itself" in caplog.text
    with pytest.raises(AttributeError):
        _ = proxy.me
