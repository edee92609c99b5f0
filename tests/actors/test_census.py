"""Everybody who is alive is told, ours and Pykka's, with what waits for them and who would hear of their end."""

from __future__ import annotations

import threading

import pykka
import pytest

from beamlens_actors import Actor, living_actors, thread_of, ties, waiting_messages
from beamlens_actors.census import actor_module, everybody


class Clerk(Actor):
    """Waits for what it is sent."""

    def on_receive(self, message):
        message.wait(30)


class Stock(pykka.ThreadingActor):
    """One of Pykka's own."""


def of(name):
    return [one for one in everybody() if one.name == name]


def test_an_actor_is_told_with_what_waits_for_it_until_it_ends(backend):
    over = threading.Event()
    over.set()
    ref = Clerk.options(name="clerk").start()
    ref.ask(over)  # without on_start it counts as started before its thread has run
    (one,) = of("clerk")
    assert (one.depth, one.capacity, one.dropped) == (0, 10_000, 0)
    assert one.module == __name__
    assert (one.thread is not None) == (backend == "threads")
    ref.stop()
    assert of("clerk") == []


def test_what_a_bounded_mailbox_lost_is_told():
    over = threading.Event()
    ref = Clerk.options(name="clerk", backend="threads", capacity=2, overflow="drop_newest").start()
    try:
        for _ in range(10):
            ref.tell(over)
        (one,) = of("clerk")
        assert one.depth == 2
        assert one.dropped >= 7
    finally:
        over.set()
        ref.stop()


def test_an_actor_of_pykkas_is_told_with_its_own_queue():
    ref = Stock.start()
    try:
        (one,) = of("Stock")
        assert (one.depth, one.capacity, one.thread) == (0, None, None)
    finally:
        ref.stop()


def test_an_actor_that_was_started_in_this_moment_is_told_with_its_thread():
    for _ in range(100):
        ref = Clerk.options(name="new", backend="threads").start()  # without on_start nobody waits for its thread
        (one,) = of("new")
        ref.stop()
        assert one.thread is not None


def test_the_actor_of_a_thread_is_known_while_it_runs_there():
    over = threading.Event()
    over.set()
    ref = Clerk.options(name="clerk", backend="threads").start()
    ref.ask(over)
    (one,) = of("clerk")
    assert actor_module(one.thread) == __name__
    ref.stop()
    assert actor_module(one.thread) is None
    assert actor_module(threading.get_ident()) is None


class Waiting(Actor):
    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def on_receive(self, message):
        self.gate.wait(30.0)


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def test_all_that_live_are_listed_pykkas_too_and_no_longer_when_they_have_ended(backend, gate):
    one, plain = Waiting.options(backend=backend).start(gate), Stock.start()
    assert {one, plain} <= set(living_actors())
    plain.stop()
    one.stop()
    assert not {one, plain} & set(living_actors())


def test_ties_are_links_and_monitors(backend, gate):
    one, other = (Waiting.options(backend=backend).start(gate) for _ in range(2))
    assert ties(one) == ((), 0)
    one.link(other)
    assert ties(one) == ((other,), 0)
    one.unlink(other)
    assert ties(one) == ((), 0)
    one.stop()
    other.stop()


def test_plain_pykka_has_no_ties_and_tells_its_messages(gate):
    class Slow(pykka.ThreadingActor):
        def on_receive(self, message):
            begun.set()
            gate.wait(30.0)

    begun = threading.Event()
    ref = Slow.start()
    for _ in range(3):
        ref.tell("work")
    assert begun.wait(10.0)
    assert ties(ref) is None
    assert waiting_messages(ref) == 2
    gate.set()
    ref.stop()


def test_waiting_messages_are_those_not_begun(gate):
    ref = Waiting.start(gate)
    answer = ref.ask("first", block=False)
    for _ in range(4):
        ref.tell("work")
    while waiting_messages(ref) != 4:
        assert waiting_messages(ref) <= 5
    gate.set()
    answer.get(timeout=10.0)
    ref.stop()


def test_only_an_actor_that_has_a_thread_of_its_own_tells_which(backend, gate):
    ref, plain = Waiting.options(backend=backend).start(gate), Stock.start()
    gate.set()
    ref.ask("work")
    assert (thread_of(ref) is not None) == (backend == "threads")
    assert thread_of(plain) is None
    ref.stop()
    plain.stop()
