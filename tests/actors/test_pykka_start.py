from __future__ import annotations

from typing import Any

import pykka
import pytest

from beamlens_actors import Actor, ActorDead, ActorRef, Killed, NoProcess, Normal, SelfAsk
from tests.actors.helpers import LIMIT, Recorder, Refused


class Prepares(Recorder):
    """Calls a function with itself at the end of its `__init__`."""

    def __init__(self, prepare: Any, log: list[Any] | None = None) -> None:
        super().__init__(log)
        prepare(self)


class PreparesWithoutOnStart(Actor):
    def __init__(self, prepare: Any) -> None:
        super().__init__()
        prepare(self)


def test_messages_to_oneself_from_init_are_handled_after_on_start() -> None:
    ref = Prepares.start(lambda actor: actor.actor_ref.tell("from init"))
    assert ref.ask("log", timeout=LIMIT) == ["start", "from init"]


def test_work_deferred_from_init_through_a_proxy_to_oneself_is_done() -> None:
    class Splits(Actor):
        def __init__(self) -> None:
            super().__init__()
            self._later = self.actor_ref.proxy()
            self._later.work(3)

        def work(self, left: int) -> None:
            done.append(left)
            if left:
                self._later.work.defer(left - 1)
            else:
                self.stop()

    done: list[int] = []
    assert Splits.start().join(LIMIT) == Normal()
    assert done == [3, 2, 1, 0]


def test_others_may_send_to_an_actor_that_init_made_known() -> None:
    def meet(actor: Any) -> None:
        other.ask(("do", lambda _: actor.actor_ref.tell("from the other")), timeout=LIMIT)

    other = Recorder.start()
    assert Prepares.start(meet).ask("log", timeout=LIMIT) == ["start", "from the other"]


def test_questions_from_before_a_failed_init_fail_and_the_ref_is_dead() -> None:
    refs: list[Any] = []
    futures: list[Any] = []

    def fail(actor: Any) -> None:
        refs.append(actor.actor_ref)
        futures.append(actor.actor_ref.ask("x", block=False))
        raise Refused

    with pytest.raises(Refused):
        Prepares.start(fail)
    with pytest.raises(ActorDead):
        futures[0].get(timeout=LIMIT)
    assert not refs[0].is_alive()


def test_stop_in_init_ends_it_after_on_start_while_others_of_its_backend_go_on() -> None:
    other = Recorder.start()

    def stop(actor: Any) -> None:
        actor.stop()
        assert other.ask("hello", timeout=LIMIT) == "hello"

    log: list[Any] = []
    ref = Prepares.start(stop, log)
    assert ref.join(LIMIT) == Normal()
    assert log == ["start", "on_stop", ("terminate", Normal())]
    assert other.ask("still there", timeout=LIMIT) == "still there"


def test_monitor_and_link_made_in_init_hold_also_for_the_dead() -> None:
    dead, living = Recorder.start(), Recorder.start()
    dead.stop()
    downs: list[Any] = []

    class Watches(Recorder):
        trap_exit = True

        def __init__(self) -> None:
            super().__init__()
            self.monitor(dead)
            self.monitor(living)
            self.link(dead)
            living.ask("the hub has had its turn", timeout=LIMIT)

        def on_down(self, down: Any) -> None:
            downs.append((down.ref, down.reason))

        def on_exit(self, exit: Any) -> None:  # noqa: A002
            downs.append((exit.ref, exit.reason))

    ref = Watches.start()
    living.stop()
    ref.ask("sync", timeout=LIMIT)
    assert downs == [(dead, NoProcess()), (dead, NoProcess()), (living, Normal())]


@pytest.mark.parametrize("hooks", [Prepares, PreparesWithoutOnStart])
def test_actor_killed_in_init_is_not_started_and_not_registered(hooks: Any) -> None:
    refs: list[Any] = []

    def kill(actor: Any) -> None:
        refs.append(actor.actor_ref)
        actor.actor_ref.kill()

    with pytest.raises(ActorDead) as caught:
        hooks.start(kill)
    assert caught.value.reason == Killed()
    assert refs[0].join(LIMIT) == Killed()
    assert pykka.ActorRegistry.get_all() == []


def test_actor_that_does_not_call_the_init_of_its_base_works_all_the_same() -> None:
    class Forgets(Actor):
        def __init__(self) -> None:
            pass

        def on_receive(self, message: Any) -> Any:
            return message

    assert Forgets.start().ask("hello", timeout=LIMIT) == "hello"


def test_arguments_of_start_go_to_init() -> None:
    class Takes(Actor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.got = (args, kwargs)

    assert Takes.start(1, 2, three=3).proxy().got.get(timeout=LIMIT) == ((1, 2), {"three": 3})


def test_handler_may_be_replaced_from_inside_and_counts_from_the_next_message() -> None:
    class Door(Actor):
        def on_receive(self, message: Any) -> Any:
            self.on_receive = self.when_open  # type: ignore[method-assign]
            return "opened"

        def when_open(self, message: Any) -> Any:
            return "was open"

    ref = Recorder.start()

    def knock(actor: Any) -> list[Any]:
        door = Door.start()
        futures = [door.ask("knock", block=False) for _ in range(3)]
        return [future.get(timeout=LIMIT) for future in futures]

    assert ref.ask(("do", knock), timeout=LIMIT) == ["opened", "was open", "was open"]


@pytest.mark.parametrize(
    "wait",
    [
        lambda ref: ref.ask("me", timeout=LIMIT),
        lambda ref: ref.ask("me", block=False).get(timeout=LIMIT),
        lambda ref: ref.stop(timeout=LIMIT),
        lambda ref: ref.join(timeout=LIMIT),
    ],
    ids=["ask", "future", "stop", "join"],
)
def test_waiting_for_oneself_in_init_is_refused_on_a_thread_and_in_an_actor(wait: Any) -> None:
    def refused(actor: Any) -> None:
        with pytest.raises(SelfAsk):
            wait(actor.actor_ref)

    assert isinstance(Prepares.start(refused), ActorRef)
    ref = Recorder.start().ask(("do", lambda _: Prepares.start(refused)), timeout=LIMIT)
    assert isinstance(ref, ActorRef)


def test_who_made_an_actor_may_ask_it_once_init_failed() -> None:
    refs: list[Any] = []

    def fail(actor: Any) -> None:
        refs.append(actor.actor_ref)
        raise Refused

    with pytest.raises(Refused):
        Prepares.start(fail)
    with pytest.raises(ActorDead):
        refs[0].ask("x")
