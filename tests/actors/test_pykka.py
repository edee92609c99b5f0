from __future__ import annotations

from typing import cast

import pykka
import pykka.debug
import pykka.typing
import pytest

from beamlens_actors import Actor, ActorDead, ActorRef, Future, Normal, offload
from tests.actors.helpers import LIMIT, Recorder


class Stock(pykka.ThreadingActor):
    use_daemon_thread = True


def test_ours_are_pykkas() -> None:
    ref = Recorder.start()
    assert isinstance(ref, pykka.ActorRef)
    assert issubclass(Actor, pykka.Actor)
    assert isinstance(ref.ask("x", block=False), pykka.Future)
    assert issubclass(ActorRef, pykka.ActorRef)
    assert issubclass(ActorDead, pykka.ActorDeadError)


def test_pykkas_registry_sees_ours_beside_stock_actors_in_order() -> None:
    stock = Stock.start()
    ref = Recorder.start()
    other = Stock.start()
    assert pykka.ActorRegistry.get_all() == [stock, ref, other]
    assert pykka.ActorRegistry.get_by_class(Recorder) == [ref]
    assert pykka.ActorRegistry.get_by_class_name("Recorder") == [ref]
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
    stock.stop()
    other.stop()
    ref.stop()
    assert pykka.ActorRegistry.get_all() == []


def test_actors_may_start_and_end_while_pykkas_registry_is_walked() -> None:
    class Churns(type):
        def __subclasscheck__(cls, other: type) -> bool:
            Recorder.start().stop()
            Recorder.start()
            return other is Recorder

    class Ours(metaclass=Churns):
        pass

    refs = [Recorder.start() for _ in range(3)]
    assert pykka.ActorRegistry.get_by_class(Ours) == refs  # type: ignore[type-var, comparison-overlap]


def test_broadcast_and_stop_all_reach_ours() -> None:
    log: list[object] = []
    ref = Recorder.start(log)
    pykka.ActorRegistry.broadcast("news")
    assert ref.ask("sync") == "sync"
    assert pykka.ActorRegistry.stop_all() == [True]
    assert log[:2] == ["start", "news"]
    assert ref.join(LIMIT) == Normal()


def test_urn_is_stable_and_unique() -> None:
    one, other = Recorder.start(), Recorder.start()
    assert one.actor_urn == one.actor_urn != other.actor_urn
    assert one.actor_urn.startswith("urn:uuid:")
    assert one.ask(("do", lambda actor: actor.actor_urn)) == one.actor_urn


def test_pykkas_stop_message_ends_it() -> None:
    ref = Recorder.start()
    ref.tell(pykka.messages._ActorStop())
    assert ref.join(LIMIT) == Normal()


def test_actor_stopped_behaves_as_an_event() -> None:
    ref = Recorder.start()
    assert ref.actor_stopped.is_set() is False
    assert ref.actor_stopped.wait(timeout=0) is False
    ref.actor_stopped.set()
    assert ref.actor_stopped.wait(timeout=LIMIT) is True
    assert ref.actor_stopped.is_set() is True


def test_proxy_of_the_dead_raises_actor_dead_error() -> None:
    ref = Recorder.start()
    ref.stop()
    try:
        ref.proxy()
    except pykka.ActorDeadError:
        return
    raise AssertionError("no ActorDeadError")


def test_default_on_receive_logs_and_answers_none() -> None:
    assert Actor.start().ask("what") is None


def test_proxies_typed_with_pykkas_helpers_work() -> None:
    class Circle(Actor):
        pi = 3.14

        def area(self, radius: float) -> float:
            return self.pi * radius**2

    class CircleProxy(pykka.typing.ActorMemberMixin, pykka.ActorProxy[Circle]):
        pi = pykka.typing.proxy_field(Circle.pi)
        area = pykka.typing.proxy_method(Circle.area)

    proxy = cast("CircleProxy", Circle.start().proxy())
    assert proxy.pi.get(timeout=LIMIT) == 3.14
    assert proxy.area(10).get(timeout=LIMIT) == 314
    assert proxy.stop().get(timeout=LIMIT) is None


@pytest.mark.backend("threads")
def test_pykkas_thread_dump_shows_actors_by_name(caplog: pytest.LogCaptureFixture) -> None:
    Recorder.options(name="find-me").start()
    pykka.debug.log_thread_tracebacks()
    assert "Current state of find-me " in caplog.text


def test_future_made_by_the_class_is_ours() -> None:
    assert isinstance(Actor._create_future(), Future)


class Relays(Stock):
    """Answers with what a greenlet actor says: while it waits, the hub must run."""

    def __init__(self, other: ActorRef[Recorder]) -> None:
        super().__init__()
        self.other = other

    def on_receive(self, message: object) -> object:
        return self.other.ask(message, timeout=LIMIT)

    def relay(self, message: object) -> object:
        return self.on_receive(message)


def test_a_greenlet_actor_asks_a_stock_actor_in_offload_while_the_others_run() -> None:
    launcher = Recorder.options(backend="greenlets")
    one, other = launcher.start(), launcher.start()
    stock = Relays.start(other)
    proxy = stock.proxy()
    try:
        assert one.ask(("do", lambda _: offload(stock.ask, "news", timeout=LIMIT)), timeout=LIMIT) == "news"
        assert one.ask(("do", lambda _: offload(proxy.relay("more").get, timeout=LIMIT)), timeout=LIMIT) == "more"
    finally:
        stock.stop()
