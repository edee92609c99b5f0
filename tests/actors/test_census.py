"""Everybody who is alive is told, ours and Pykka's."""

from __future__ import annotations

import threading

import pykka

from beamlens_actors import Actor
from beamlens_actors.census import everybody


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
