from __future__ import annotations

from typing import Any

import pykka
import pytest
from pykka import messages

from beamlens_actors import ActorDead, Crash
from tests.actors.cars import Car, Engine, got
from tests.actors.helpers import LIMIT, Recorder


@pytest.fixture
def ref(backend: str) -> Any:
    return Car.start()


@pytest.fixture
def proxy(ref: Any) -> Any:
    return ref.proxy()


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
