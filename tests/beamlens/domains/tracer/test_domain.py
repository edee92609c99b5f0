"""Real functions traced with sys.monitoring; on 3.11 the refusal."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import textwrap
import threading
import types

import pytest

from beamlens.domains import TracerDomain
from beamlens.domains.tracer import session, target
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock

traces = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is there from 3.12 on")

SHOP = """
    import functools, queue
    from queue import Queue

    def place_order(basket, amount=1, *more, **options):
        return amount

    def refuse(reason):
        raise LookupError(reason)

    def recurse(depth):
        return depth and recurse(depth - 1)

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)
        return wrapper

    def hidden(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    @logged
    @logged
    def decorated(number):
        return number

    @hidden
    def covered(number):
        return number

    class Base:
        def inherited(self):
            return self

    class Basket(Base):
        def add(self, item):
            return [item]
        @classmethod
        def make(cls):
            return cls()
        @staticmethod
        def count(items):
            return len(items)
        @property
        def total(self):
            return 1.5
        @functools.cached_property
        def taxes(self):
            return 2.5
        @functools.lru_cache
        def price(self):
            return 3

    partial = functools.partial(place_order, "b")

    def outer():
        def nested(number):
            return number
        return nested(1)

    async def pay(fail):
        import asyncio
        await asyncio.sleep(0)
        if fail:
            raise ConnectionError("no")
        return b""

    def numbers():
        yield 1
        yield 2

    class Proxy:
        def __getattribute__(self, name):
            raise RuntimeError(f"touched: {name}")

    proxy = Proxy()
    size = 5
    settings = {"error": "secret", "password": "secret"}
"""


@pytest.fixture
def shop(monkeypatch, tmp_path):
    file = tmp_path / "traced_shop.py"
    file.write_text(textwrap.dedent(SHOP))
    module = types.ModuleType("traced_shop")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "traced_shop", module)
    exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
    return module


@pytest.fixture
def tracer(monkeypatch):
    monkeypatch.setattr(session.shared, "latest", None)
    domain = TracerDomain()
    yield domain
    domain.close()
    domain.stop()
    for thread in threading.enumerate():
        if thread.name == "beamlens-tracer":
            thread.join(10)
    if sys.version_info >= (3, 12):
        assert [sys.monitoring.get_tool(tool) for tool in (3, 4)] == [None, None]


def traced(tracer, name, call):
    """Trace a function of the shop while something is called; the calls, oldest first."""
    answer = tracer.callbacks()["tracer_start"]("traced_shop", name)
    assert answer.get("started"), answer
    try:
        call()
    finally:
        tracer.stop()
    return tracer.get()["calls"][::-1]


def test_it_keeps_the_contract_of_a_domain(tracer):
    check_domain(tracer)


def test_it_has_nothing_that_wakes_a_watcher(tracer):
    assert tracer.all_sensors() == ()
    assert tracer.sense() == {}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="what an older Python answers")
def test_without_monitoring_it_starts_and_every_callback_says_why(tracer):
    for answer in (tracer.start("json", "loads"), tracer.stop(), tracer.get()):
        assert answer["error"] == "unsupported"
        assert "3.12" in answer["message"]
    snapshot = tracer.snapshot()
    assert snapshot["active"] is None
    assert set(snapshot["_unavailable"]) == {"active", "trace_count", "trace_spec", "elapsed_ms"}


# -- what is recorded ------------------------------------------------------------------------------------------------


@traces
def test_a_call_is_recorded_with_types_and_never_with_values(tracer, shop):
    """The seed's start could not be called with its own arguments from Lua, and its snapshot was no JSON."""
    (call,) = traced(tracer, "place_order", lambda: shop.place_order("secret-basket", amount=3.5))
    assert (call["outcome"], call["type"]) == ("returned", "float")
    assert call["argument_types"] == [
        {"name": "basket", "type": "str"},
        {"name": "amount", "type": "float"},
        {"name": "more", "type": "tuple"},
        {"name": "options", "type": "dict"},
    ]
    assert call["caller"].endswith("in test_a_call_is_recorded_with_types_and_never_with_values.<locals>.<lambda>")
    assert call["thread"] == threading.current_thread().name
    assert call["duration_ms"] >= 0
    snapshot = tracer.snapshot()
    assert snapshot["trace_spec"] == "traced_shop.place_order"
    assert (snapshot["active"], snapshot["trace_count"]) == (False, 1)
    assert "secret" not in json.dumps([snapshot, tracer.get()])


@traces
def test_an_exception_that_leaves_it_is_told_by_its_type(tracer, shop):
    def call():
        with pytest.raises(LookupError):
            shop.refuse("secret")

    (found,) = traced(tracer, "refuse", call)
    assert (found["outcome"], found["type"]) == ("raised", "LookupError")


@traces
def test_exceptions_of_other_functions_are_none_of_its_business(tracer, shop):
    def call():
        shop.place_order(1)
        with pytest.raises(LookupError):
            shop.refuse("x")

    (found,) = traced(tracer, "place_order", call)
    assert found["outcome"] == "returned"


@traces
def test_each_level_of_a_recursion_is_a_call_of_its_own(tracer, shop):
    calls = traced(tracer, "recurse", lambda: shop.recurse(3))
    assert [call["outcome"] for call in calls] == ["returned"] * 4
    durations = [call["duration_ms"] for call in calls]
    assert durations == sorted(durations, reverse=True)


@traces
@pytest.mark.parametrize(
    ("name", "call", "where", "wrappers"),
    [
        ("decorated", lambda shop: shop.decorated(1), "decorated", 2),
        ("covered", lambda shop: shop.covered(1), "covered", 1),
        ("Basket.add", lambda shop: shop.Basket().add(1), "Basket.add", 0),
        ("Basket.inherited", lambda shop: shop.Basket().inherited(), "Base.inherited", 0),
        ("Basket.make", lambda shop: shop.Basket.make(), "Basket.make", 1),
        ("Basket.count", lambda shop: shop.Basket.count([]), "Basket.count", 1),
        ("Basket.total", lambda shop: shop.Basket().total, "Basket.total", 1),
        ("Basket.taxes", lambda shop: shop.Basket().taxes, "Basket.taxes", 1),
        ("Basket.price", lambda shop: shop.Basket().price(), "Basket.price", 1),
        ("partial", lambda shop: shop.partial(), "place_order", 1),
        ("outer.<locals>.nested", lambda shop: shop.outer(), "outer.<locals>.nested", 0),
        ("numbers", lambda shop: list(shop.numbers()), "numbers", 0),
        ("pay", lambda shop: asyncio.run(shop.pay(fail=False)), "pay", 0),
    ],
)
def test_every_kind_of_function_is_found_by_its_name(tracer, shop, name, call, where, wrappers):
    (found,) = traced(tracer, name, lambda: call(shop))
    assert found["outcome"] == "returned"
    spec = tracer.get()["spec"]
    assert (spec["traced"], spec["wrappers"]) == (where, wrappers)
    line = spec["at"].rpartition(":")[2]
    assert 1 < int(line) < len(SHOP.splitlines())


@traces
def test_coroutines_that_run_at_the_same_time_are_told_apart(tracer, shop):
    async def both():
        return await asyncio.gather(*(shop.pay(fail=fail) for fail in (False, True)), return_exceptions=True)

    calls = traced(tracer, "pay", lambda: asyncio.run(both()))
    assert sorted((call["outcome"], call["type"], call["resumed"]) for call in calls) == [
        ("raised", "ConnectionError", 1),
        ("returned", "bytes", 1),
    ]


@traces
def test_a_cancelled_coroutine_is_told(tracer, shop):
    async def cancelled():
        task = asyncio.ensure_future(shop.pay(fail=False))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    (call,) = traced(tracer, "pay", lambda: asyncio.run(cancelled()))
    assert (call["outcome"], call["type"]) == ("raised", "CancelledError")


@traces
def test_a_call_that_runs_still_is_shown_as_running(tracer, shop):
    started = shop.numbers()
    assert tracer.start("traced_shop", "numbers")["spec"]["kind"] == "generator"
    assert next(started) == 1
    (call,) = tracer.get()["calls"]
    assert (call["outcome"], call["duration_ms"]) == ("running", None)
    with pytest.raises(KeyError):
        started.throw(KeyError())
    (call,) = tracer.get()["calls"]
    assert (call["outcome"], call["type"]) == ("raised", "KeyError")


@traces
def test_arguments_do_not_live_longer_for_it(tracer, shop):
    import weakref

    shop.forget = eval("lambda held: held.clear()", shop.__dict__)

    class Thing:
        pass

    thing = Thing()
    weak = weakref.ref(thing)
    held = [thing]
    del thing
    traced(tracer, "forget", lambda: shop.forget(held))
    assert weak() is None


# -- what is refused -------------------------------------------------------------------------------------------------


@traces
@pytest.mark.parametrize(
    ("module", "name", "code"),
    [
        ("*", "place_order", "wildcard_module_not_allowed"),
        ("_", "place_order", "wildcard_module_not_allowed"),
        ("", "place_order", "wildcard_module_not_allowed"),
        ("traced_*", "place_order", "wildcard_module_not_allowed"),
        ("traced_shop", "*", "wildcard_function_not_allowed"),
        ("traced_shop", "_", "wildcard_function_not_allowed"),
        ("traced_shop", "Basket.*", "wildcard_function_not_allowed"),
        ("traced_shop", "place_orders", "function_not_found"),
        ("traced_shop", "Basket.adds", "function_not_found"),
        ("traced_shop", "place_order.x", "function_not_found"),
        ("traced_shop", "outer.<locals>.neste", "function_not_found"),
        ("traced_shops", "place_order", "module_not_loaded"),
        ("traced_shop", "Basket", "not_traceable"),
        ("traced_shop", "size", "not_traceable"),
        ("traced_shop", "proxy", "not_traceable"),
        ("traced_shop", "settings", "not_traceable"),
        ("builtins", "len", "not_traceable"),
        ("queue", "Queue.put", "blocked_function"),
        ("threading", "Thread.start", "blocked_function"),
        ("logging", "Logger.info", "blocked_function"),
        ("importlib._bootstrap", "_find_and_load", "blocked_function"),
        ("traced_shop", "Queue.put", "blocked_function"),
        ("beamlens.domains.tracer.session", "Session.end", "blocked_function"),
        ("beamlens_actors", "Actor.start", "blocked_function"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_cannot_be_traced_is_refused_with_a_reason(tracer, module, name, code):
    answer = tracer.start(module, name)
    assert answer["error"] == code
    assert "secret" not in str(answer)
    assert tracer.snapshot()["active"] is False


@traces
@pytest.mark.usefixtures("shop")
def test_a_wrong_name_is_answered_with_what_is_near(tracer):
    assert "near it: place_order" in tracer.start("traced_shop", "place_ordr")["message"]
    assert "near it: traced_shop" in tracer.start("traced_shp", "x")["message"]


@traces
@pytest.mark.usefixtures("shop")
def test_a_second_trace_is_refused_while_one_is_under_way(tracer):
    assert tracer.start("traced_shop", "refuse")["started"]
    for other in (tracer, TracerDomain()):
        answer = other.start("traced_shop", "recurse")
        assert answer["error"] == "trace_already_active"
        assert "traced_shop.refuse" in answer["message"]
    tracer.stop()
    assert tracer.start("traced_shop", "recurse")["started"]


def test_to_stop_what_does_not_run_is_fine(tracer):
    if sys.version_info >= (3, 12):
        assert tracer.stop() == {"stopped": False, "active": False, "trace_count": 0}
        assert tracer.get()["calls"] == []


@traces
@pytest.mark.usefixtures("shop")
def test_tools_that_have_the_ids_keep_them(tracer):
    for tool in (3, 4):
        sys.monitoring.use_tool_id(tool, f"other-{tool}")
    try:
        answer = tracer.start("traced_shop", "refuse")
        assert answer["error"] == "tracer_taken"
        assert "other-3" in answer["message"]
        sys.monitoring.free_tool_id(3)
        assert tracer.start("traced_shop", "refuse")["started"]
        assert sys.monitoring.get_tool(4) == "other-4"
    finally:
        tracer.stop()
        sys.monitoring.free_tool_id(4)


@traces
def test_without_a_thread_to_end_it_none_is_started(tracer, shop, monkeypatch):
    def none_left(_run, _name):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(session, "spawn", none_left)
    assert tracer.start("traced_shop", "refuse")["error"] == "unavailable"
    assert sys.monitoring.get_tool(4) is None
    assert shop.place_order(1) == 1


# -- bounds ----------------------------------------------------------------------------------------------------------


@traces
def test_five_a_second_are_recorded_and_fifty_in_all(tracer, shop):
    with FakeClock() as clock:
        tracer.start("traced_shop", "place_order")
        watcher = watcher_of()
        for second in range(1, 11):
            for _ in range(20):
                shop.place_order(1)
            assert tracer.get()["trace_count"] == 5 * second
            for _ in range(10 if second < 10 else 1):
                clock.wait_for_waiters(1, within=0.2)
                clock.advance(0.1001)
            if second < 10:
                clock.wait_for_waiters(1, within=0.2)
        watcher.join(10)
        assert tracer.get()["ended"] == "50 calls were recorded"
    assert tracer.get(3)["trace_count"] == 50
    assert len(tracer.get(3)["calls"]) == 3


@traces
def test_it_ends_after_a_minute(tracer, shop):
    with FakeClock() as clock:
        tracer.start("traced_shop", "place_order")
        watcher = watcher_of()
        for _ in range(2):
            clock.wait_for_waiters(1, within=0.2)
            clock.advance(30.0)
        watcher.join(10)
        assert tracer.get()["ended"] == "its time was over"
        assert tracer.snapshot()["elapsed_ms"] == 60_000
    assert shop.place_order(1) == 1


@traces
def test_after_its_end_nothing_is_left(tracer, shop):
    tracer.start("traced_shop", "place_order")
    tracer.close()
    assert sys.monitoring.get_tool(4) is None
    assert sys.monitoring.get_events(3) if sys.monitoring.get_tool(3) else True
    shop.place_order(1)
    assert tracer.get()["trace_count"] == 0
    assert tracer.get()["ended"] == "the domain was closed"


@traces
def test_another_domain_does_not_end_it_when_it_is_closed(tracer, shop):
    tracer.start("traced_shop", "place_order")
    TracerDomain().close()
    shop.place_order(1)
    assert tracer.snapshot()["active"] is True


@traces
@pytest.mark.usefixtures("shop")
def test_a_forked_child_is_not_traced(tracer):
    tracer.start("traced_shop", "place_order")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(sys.monitoring.get_tool(4)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 20) == b"None"
    os.close(read)
    os.close(write)
    assert tracer.snapshot()["active"] is True


@traces
def test_what_fails_in_a_callback_does_not_reach_the_host(tracer, shop, monkeypatch):
    def broken(*_anything):
        raise OSError("broken")

    monkeypatch.setattr(session.arguments, "types_of", broken)
    monkeypatch.setattr(session, "type_name", broken)
    assert traced(tracer, "place_order", lambda: shop.place_order("x")) == []
    assert shop.place_order("x") == 1


@traces
def test_threads_that_call_while_it_comes_and_goes_notice_nothing(tracer, shop):
    over, wrong = threading.Event(), []

    def work():
        while not over.is_set():
            if shop.recurse(3) != 0 or list(shop.numbers()) != [1, 2]:
                wrong.append("wrong")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for number in range(60):
            assert tracer.start("traced_shop", ("recurse", "numbers")[number % 2])["started"]
            session.shared.latest._rearm()
            tracer.stop()
    finally:
        over.set()
        for worker in workers:
            worker.join(30)
    assert wrong == []


def test_a_type_is_told_without_running_the_types_own_code():
    class Meta(type):
        def __getattribute__(cls, name):
            raise RuntimeError(name)

    thing = Meta("Thing", (), {})()
    assert target.type_name(thing) == "Thing"


def test_an_endless_chain_of_wrappers_ends():
    def first():
        pass

    first.__wrapped__ = functools.partial(first)
    assert target._code_of(first, "first") == (None, 0)


def watcher_of():
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "beamlens-tracer"]
    return thread
