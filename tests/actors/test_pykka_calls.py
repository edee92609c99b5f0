from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka
import pytest

from beamlens_actors import Actor, MailboxFull, SelfAsk
from tests.actors.cars import Car, got
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


@pytest.fixture
def ref(backend: str) -> Any:
    return Car.start()


@pytest.fixture
def proxy(ref: Any) -> Any:
    return ref.proxy()


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
