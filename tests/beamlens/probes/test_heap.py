from __future__ import annotations

import functools
import gc
import sys
import threading
import types
from collections import OrderedDict, UserDict, defaultdict, deque
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.probes.heap import Path, Walk, find_growing
from beamlens.probes.heap.paths import Gone
from beamlens.probes.heap.reading import attributes, newest, newest_keys, oldest, size_of, slots
from beamlens.probes.heap.sizes import deep_size, item_bytes


@pytest.fixture
def program():
    """A module of the user's."""
    module = types.ModuleType("the_program")
    module.__file__ = "/app/the_program.py"
    sys.modules["the_program"] = module
    yield module
    del sys.modules["the_program"]


def named():
    """The paths that a walk finds, by their text."""
    walk = Walk(running=False)
    paths = [walk.path(index) for index in walk.nodes]
    return {str(path): path for path in paths if path is not None}


def touched(*_args, **_kwargs):
    raise AssertionError("the program's code was run")


class Meta(type):
    __getattribute__ = __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = touched


def hostile_namespace():
    names = ("__len__", "__iter__", "__reversed__", "__getattr__", "__getitem__", "__hash__", "__eq__", "__bool__")
    names += ("__contains__", "__sizeof__", "__repr__", "__del__", "keys", "values", "items", "__call__", "__get__")
    found = dict.fromkeys(names, touched)
    return {**found, "__class__": property(touched), "__dict__": property(touched), "__del__": lambda _self: None}


def hostile(base):
    return type(f"Hostile{base.__name__}", (base,), hostile_namespace())


@pytest.mark.parametrize("base", [object, dict, list, set, deque, OrderedDict, tuple, frozenset])
def test_no_code_of_foreign_objects_runs_on_a_walk(program, base):
    value = base.__new__(hostile(base))
    program.thing = value
    program.inside = [value]
    program.held = types.SimpleNamespace(inner=value)
    assert "the_program.inside" in named()
    deep_size([value], set())
    del program.thing, program.inside, program.held


def test_a_metaclass_that_answers_nothing_is_no_obstacle(program):
    made = Meta("Made", (), {})
    program.made = made
    program.things = [type.__call__(made)]
    assert "the_program.things" in named()


def test_a_module_that_makes_attributes_up_is_not_asked(program):
    del program.__file__
    program.__getattr__ = touched
    program.table = {}
    assert "the_program.table" in named()


def test_containers_that_other_threads_change_are_read_without_an_error(program):
    program.table = {number: [number] for number in range(1000)}
    program.members = set(range(1000))
    program.waiting = deque(range(1000))
    stop = threading.Event()

    def change():
        number = 1000
        while not stop.is_set():
            number += 1
            program.table[number] = [number]
            program.table.pop(number - 900, None)
            program.members.add(number)
            program.members.discard(number - 900)
            program.waiting.append(number)
            program.waiting.popleft()

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            for container in (program.table, program.members, program.waiting):
                newest(container)
                oldest(container, 20)
                newest_keys(container, 20)
                item_bytes(container)
        Walk(running=False)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert size_of(program.members) >= 900


def test_a_path_finds_the_object_again_and_tells_when_it_is_gone(program):
    class Store:
        kinds: ClassVar = {}

        def __init__(self):
            self.entries = {1: 2}

    def remembering():
        seen = []
        return lambda: seen

    Store.__module__ = "the_program"
    program.store, program.Store, program.remember = Store(), Store, remembering()
    program.cached = functools.lru_cache(maxsize=None)(lambda number: number)
    paths = named()
    assert paths["the_program.store.entries"].resolve() is program.store.entries
    assert paths["the_program.remember.seen"].resolve() == []
    assert paths["the_program.Store.kinds"].resolve() is Store.kinds
    program.store.entries = {}
    assert paths["the_program.store.entries"].resolve() is program.store.entries
    del program.store
    with pytest.raises(Gone):
        paths["the_program.store.entries"].resolve()
    with pytest.raises(Gone):
        Path("no_such_module", (("root", "x"),)).resolve()


def test_a_function_that_has_no_attributes_does_not_get_a_dict_for_them_by_a_walk(program):
    def plain(orders=()):
        return orders

    def keywords(*, orders=()):
        return orders

    def marked():
        return None

    marked.orders = [1, 2]
    program.plain, program.keywords, program.marked = plain, keywords, marked
    before = [len(gc.get_referents(one)) for one in (plain, keywords, marked)]
    walk = Walk(running=False)
    assert any(one is marked.orders for one in walk.containers)
    assert [len(gc.get_referents(one)) for one in (plain, keywords, marked)] == before


def test_a_walk_keeps_to_its_bound_and_says_so(program):
    program.table = [[number] for number in range(250)]
    assert Walk(running=False).visited > 300
    walk = Walk(300, running=False)
    assert (walk.complete, walk.visited) == (False, 300)


def test_a_walk_over_many_objects_starts_no_full_collection(program):
    program.table = {number: [[number]] for number in range(300)}
    program.table |= {-number: [[item] for item in range(300)] for number in range(1, 200)}
    gc.collect()
    gc.freeze()  # so few old objects are left that a full collection is due soon
    try:
        before = gc.get_stats()[2]["collections"]
        walk = Walk(running=False)
        assert walk.visited > 60_000
        assert gc.get_stats()[2]["collections"] - before <= 1
    finally:
        gc.unfreeze()


def test_objects_in_large_containers_count_for_those_that_are_not_visited(program):
    class Entry:
        pass

    program.table = [Entry() for _ in range(30_000)]
    counts = [one for one in Walk(running=False).types.values() if one.kind is Entry]
    assert [round(one.objects) for one in counts] == [30_000]


def test_growth_is_told_with_its_holder(program):
    program.table = {}
    stop = threading.Event()

    def grow():
        while not stop.wait(0.001):
            program.table[len(program.table)] = "x" * 1000 + str(len(program.table))

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        growing, complete = find_growing(0.5)
    finally:
        stop.set()
        thread.join()
    assert complete
    found = next(one for one in growing if one.holder.path == "the_program.table")
    assert found.added > 0
    assert found.bytes_per_item > 1000


containers = st.one_of(
    st.lists(st.integers()),
    st.dictionaries(st.integers(), st.text()),
    st.sets(st.integers()),
    st.lists(st.integers()).map(deque),
    st.lists(st.integers()).map(tuple),
    st.dictionaries(st.text(), st.integers()).map(OrderedDict),
    st.dictionaries(st.text(), st.integers()).map(lambda d: defaultdict(int, d)),
)


@given(containers, st.integers(1, 5))
def test_sizes_and_items_are_those_of_the_container(container, most):
    assert size_of(container) == len(container)
    values = list(container.values()) if isinstance(container, dict) else list(container)
    found = newest(container, most)
    assert len(found) == min(most, len(values))
    if isinstance(container, (list, deque, dict)):
        assert found == values[::-1][:most]
        assert oldest(container, most) == values[:most]
    assert item_bytes(container) >= 0


def test_items_of_a_large_table_are_estimated_within_a_tenth():
    table = {number: "x" * 1000 + str(number) for number in range(20_000)}
    exact = sys.getsizeof(table) + sum(sys.getsizeof(k) + sys.getsizeof(v) for k, v in table.items())
    assert item_bytes(table) * len(table) == pytest.approx(exact, rel=0.1)


def test_attributes_and_slots_are_read_where_they_are_plain():
    class Slotted:
        __slots__ = ("empty", "filled")

    one = Slotted()
    one.filled = 1
    assert dict(slots(one)) == {"filled": 1}
    assert attributes(one) is None
    assert attributes(UserDict(a=1)) == {"data": {"a": 1}}
