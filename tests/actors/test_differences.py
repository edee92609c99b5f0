"""Where our actors deliberately differ from Pykka's: each difference beside what Pykka does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from beamlens_actors import Actor, ActorCrashed, ActorDead, Crash, Normal
from tests.actors.helpers import LIMIT, Recorder, Refused, busy


class Stock(pykka.ThreadingActor):
    """Pykka's own, for comparison."""

    use_daemon_thread = True

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    def on_receive(self, message: Any) -> Any:
        match message:
            case ("raise", error):
                raise error
            case ("wait", entered, gate):
                entered.set()
                gate.wait(LIMIT)
        self.log.append(message)
        return message

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.log.append("on_failure")


@pytest.fixture(autouse=True)
def no_stock_actor_survives_its_test(gate: threading.Event) -> Iterator[None]:
    yield
    gate.set()
    for ref in pykka.ActorRegistry.get_by_class(pykka.ThreadingActor):
        ref.stop()


def test_stop_overtakes_what_waits_where_pykka_handles_it_first(gate: threading.Event) -> None:
    log: list[Any] = []
    stock_log: list[Any] = []
    ref, stock = Recorder.start(log), Stock.start(stock_log)
    futures = []
    for each in (ref, stock):
        entered = threading.Event()
        each.tell(("wait", entered, gate))
        assert entered.wait(LIMIT)
        futures.append(each.ask("waits", block=False))
        each.stop(block=False)
    gate.set()
    assert futures[1].get(timeout=LIMIT) == "waits"
    with pytest.raises(ActorDead):
        futures[0].get(timeout=LIMIT)
    assert "waits" not in log
    assert "waits" in stock_log


def test_exception_of_a_question_ends_the_actor_with_on_failure_where_pykkas_lives_on() -> None:
    log: list[Any] = []
    stock_log: list[Any] = []
    ref, stock, error = Recorder.start(log), Stock.start(stock_log), Refused("broken")
    for each in (ref, stock):
        with pytest.raises(Refused) as caught:
            each.ask(("raise", error), timeout=LIMIT)
        assert caught.value is error
    assert ref.join(LIMIT) == Crash(error)
    assert log == ["start", ("on_failure", Refused), ("terminate", Crash(error))]
    assert stock.ask("alive") == "alive"
    assert stock_log == ["alive"]


def test_exception_of_a_call_through_a_proxy_ends_the_actor_too() -> None:
    class Fragile(Actor):
        def drop(self) -> None:
            raise Refused

    ref = Fragile.start()
    proxy: Any = ref.proxy()
    with pytest.raises(Refused):
        proxy.drop().get(timeout=LIMIT)
    assert isinstance(ref.join(LIMIT), Crash)


def test_asker_has_its_exception_only_when_the_actor_is_dead() -> None:
    ref = Recorder.start()
    with pytest.raises(Refused):
        ref.ask(("raise", Refused()))
    assert not ref.is_alive()
    with pytest.raises(ActorDead):
        ref.tell("too late")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
def test_base_exception_stays_in_its_actor_where_pykka_stops_all(kind: type[BaseException], asked: bool) -> None:
    log: list[Any] = []
    ref, other, stock = Recorder.start(log), Recorder.start(), Stock.start([])
    error = kind()
    if asked:
        with pytest.raises(ActorCrashed) as caught:
            ref.ask(("raise", error), timeout=LIMIT)
        assert caught.value.cause is error
    else:
        ref.tell(("raise", error))
    assert ref.join(LIMIT) == Crash(error)
    assert log == ["start", ("on_failure", kind), ("terminate", Crash(error))]
    assert other.ask("alive", timeout=LIMIT) == "alive"
    assert stock.is_alive()


def test_base_exception_in_a_stock_actor_stops_ours_with_the_others() -> None:
    ref, stock = Recorder.start(), Stock.start([])
    stock.tell(("raise", SystemExit()))
    assert ref.join(LIMIT) == Normal()
    stock.actor_stopped.wait(LIMIT)


def test_start_waits_for_on_start() -> None:
    log: list[str] = []
    entered, gate = threading.Event(), threading.Event()

    class Slow(Actor):
        def on_start(self) -> None:
            entered.set()
            gate.wait(LIMIT)
            log.append("on_start")

    def start() -> None:
        Slow.start()
        log.append("returned")

    thread = threading.Thread(target=start)
    thread.start()
    assert entered.wait(LIMIT)
    gate.set()
    thread.join(LIMIT)
    assert log == ["on_start", "returned"]


def test_start_of_pykkas_returns_while_on_start_runs(gate: threading.Event) -> None:
    entered = threading.Event()

    class Slow(Stock):
        def on_start(self) -> None:
            entered.set()
            gate.wait(LIMIT)

    Slow.start([])
    assert entered.wait(LIMIT)
    assert not gate.is_set()
    gate.set()


def test_exception_in_on_start_is_raised_by_start_where_pykka_only_logs_it() -> None:
    class Fails(Actor):
        def on_start(self) -> None:
            raise Refused("no disk")

    class FailsStock(pykka.ThreadingActor):
        def on_start(self) -> None:
            raise Refused("no disk")

    with pytest.raises(Refused, match="no disk"):
        Fails.start()
    stock = FailsStock.start()
    assert stock.actor_stopped.wait(LIMIT)


def test_tell_to_the_dead_raises_actor_dead_which_is_pykkas_error_with_the_reason() -> None:
    ref, stock = Recorder.start(), Stock.start([])
    for each in (ref, stock):
        each.stop()
        with pytest.raises(pykka.ActorDeadError) as caught:
            each.tell("anybody?")
    with pytest.raises(ActorDead) as caught_ours:
        ref.tell("anybody?")
    assert caught_ours.value.reason == Normal()
    assert not isinstance(caught.value, ActorDead)


def test_it_is_alive_in_its_last_hooks_where_pykkas_is_dead_in_on_stop() -> None:
    seen: dict[str, Any] = {}

    class Last(Actor):
        def on_stop(self) -> None:
            seen["ours"] = self.actor_ref.is_alive()

    class LastStock(pykka.ThreadingActor):
        def on_stop(self) -> None:
            seen["stock"] = self.actor_ref.is_alive()

    Last.start().stop()
    LastStock.start().stop()
    assert seen == {"ours": True, "stock": False}


def test_waiting_for_oneself_is_refused_where_pykka_waits_for_ever(gate: threading.Event) -> None:
    ref = Recorder.start()
    busy(ref, gate)
    future = ref.ask(("do", lambda actor: actor.actor_ref.ask("me")), block=False)
    gate.set()
    with pytest.raises(RuntimeError, match="would wait for itself"):
        future.get(timeout=LIMIT)
