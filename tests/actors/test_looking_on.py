from __future__ import annotations

import threading

import pykka
import pytest

from beamlens_actors import Actor, living_actors, ties, waiting_messages


class Waiting(Actor):
    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def on_receive(self, message):
        self.gate.wait(30.0)


class Plain(pykka.ThreadingActor):
    pass


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def test_all_that_live_are_listed_pykkas_too_and_no_longer_when_they_have_ended(backend, gate):
    one, plain = Waiting.options(backend=backend).start(gate), Plain.start()
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
