from __future__ import annotations

import functools
import gc
import weakref
from collections import UserDict, deque
from typing import ClassVar

import cachetools
import pytest

import beamlens
from beamlens.errors import ConfigError
from beamlens.probes import tables
from beamlens.probes.tables import TableNameTaken, register_table, registered, unregister_table

SESSIONS: dict[int, int] = {1: 1}


class Shop:
    carts: ClassVar[list[int]] = []

    def __init__(self):
        self.orders = {1: "one"}


@pytest.fixture(autouse=True)
def nothing_registered():
    yield
    tables._tables.clear()


def names():
    return [table.name for table, _ in registered()]


def test_they_are_had_from_the_top_level():
    assert beamlens.register_table is register_table
    assert beamlens.unregister_table is unregister_table
    with pytest.raises(AttributeError, match="no attribute 'register_tables'"):
        beamlens.register_tables  # noqa: B018


@pytest.mark.parametrize(
    "make",
    [
        lambda: {1, 2},
        lambda: deque([1]),
        lambda: UserDict({1: 1}),
        lambda: cachetools.LRUCache(10),
        lambda: functools.lru_cache(lambda: 1),
        Shop,
    ],
)
def test_what_can_be_referenced_weakly_is_not_kept_alive(make):
    obj = make()
    register_table("held", obj)
    ((table, found),) = registered()
    assert found is obj
    assert table.held_by == "weak reference"
    assert table.file == __file__
    reference = weakref.ref(obj)
    del obj, found
    gc.collect()
    assert reference() is None
    assert names() == []


def test_a_dict_of_a_module_is_found_by_its_name():
    register_table("sessions", SESSIONS)
    ((table, found),) = registered()
    assert found is SESSIONS
    assert table.held_by == f"{__name__}.SESSIONS"


def test_a_list_of_a_class_is_found_by_its_name():
    register_table("carts", Shop.carts)
    ((table, _found),) = registered()
    assert table.held_by == f"{__name__}.Shop.carts"


def test_a_dict_of_an_object_needs_its_owner_and_lives_no_longer():
    shop = Shop()
    with pytest.raises(ConfigError, match=r"a dict cannot be referenced weakly.*owner=\.\.\.") as refused:
        register_table("orders", shop.orders)
    assert refused.value.field == "owner"
    register_table("orders", shop.orders, owner=shop)
    assert registered()[0][0].held_by == "Shop.orders"
    shop.orders = {2: "two"}
    assert registered()[0][1] is shop.orders
    del shop
    gc.collect()
    assert names() == []


def test_an_owner_that_does_not_hold_it_is_refused():
    with pytest.raises(ConfigError, match="no attribute of the Shop holds it"):
        register_table("orders", {}, owner=Shop())


def test_an_owner_that_cannot_be_referenced_weakly_is_refused():
    class Slotted:
        __slots__ = ("entries",)

    owner = Slotted()
    owner.entries = {}
    with pytest.raises(ConfigError, match="Slotted cannot be referenced weakly either"):
        register_table("entries", owner.entries, owner=owner)


def test_a_name_that_is_taken_tells_its_holder_until_that_is_gone_or_unregistered():
    first, second = {1}, {2}
    register_table("members", first)
    register_table("members", first)
    with pytest.raises(TableNameTaken, match=r"'members' is taken by a set registered at .*test_tables\.py:\d+"):
        register_table("members", second)
    assert unregister_table("members")
    assert not unregister_table("members")
    register_table("members", second)
    del second
    register_table("members", first)
    assert names() == ["members"]


@pytest.mark.parametrize(
    ("name", "obj", "message"),
    [
        ("", {1}, "name: '' is not a name"),
        (5, {1}, "name: 5 is not a name"),
        ("x", 7, "int has no entries that can be counted"),
        ("x", object(), "object has no entries"),
        ("x", print, "has no entries"),
        ("x", gc, "module has no entries"),
        ("x", Shop, "type has no entries"),
    ],
)
def test_what_is_wrong_is_one_clear_error(name, obj, message):
    with pytest.raises(ConfigError, match=message):
        register_table(name, obj)
    assert names() == []


def test_registrations_have_a_bound():
    held = [{number} for number in range(501)]
    for number, one in enumerate(held[:500]):
        register_table(f"table {number}", one)
    with pytest.raises(ConfigError, match="500 tables are registered already"):
        register_table("one more", held[500])
    held.pop(0)
    register_table("one more", held[-1])
    assert len(names()) == 500
