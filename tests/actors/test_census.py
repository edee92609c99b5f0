"""Everybody who is alive is told, ours and Pykka's."""

from __future__ import annotations

import threading

import pykka

from beamlens_actors import Actor
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
