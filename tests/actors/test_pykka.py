from __future__ import annotations

import pykka

from beamlens_actors import Actor, ActorDead, ActorRef, Future, Normal
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


def test_future_made_by_the_class_is_ours() -> None:
    assert isinstance(Actor._create_future(), Future)
