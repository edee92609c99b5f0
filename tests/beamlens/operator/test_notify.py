"""``start_loop`` and ``notify``: a run that begins with the operator, and who is told."""

from __future__ import annotations

import threading

from beamlens.operator import OperatorComplete, OperatorNotification
from beamlens.testing import ScriptedClient
from beamlens_actors import Actor
from tests.support.operators import DONE, LOOK, fire, operating


class Box(Actor):
    def __init__(self, got, ended):
        super().__init__()
        self._got, self._ended = got, ended

    def on_receive(self, message):
        self._got.append(message)
        if isinstance(message, OperatorComplete):
            self._ended.set()


def test_a_run_begins_with_the_start_and_an_actor_is_told_of_findings_and_the_end():
    got, ended = [], threading.Event()
    box = Box.start(got, ended)
    client = ScriptedClient([LOOK, fire(), DONE])
    try:
        with operating(client, start_loop=True, context={"reason": "noon"}, notify=box) as one:
            assert ended.wait(10)
            assert one.status().runs == 1
    finally:
        box.stop()
    note, complete = got
    assert isinstance(note, OperatorNotification)
    assert (note.operator, note.notification.anomaly_type) == ("queue", "deep_queue")
    assert (complete.operator, complete.run_id) == ("queue", note.run_id)
    assert (complete.result.stopped_by, complete.result.alerts) == ("done", (note.notification,))
    assert "Reason: noon" in str(client.requests[0].messages)


def test_without_start_loop_a_context_begins_nothing():
    client = ScriptedClient([])
    with operating(client, context={"reason": "noon"}) as one:
        assert not one.status().running
    assert client.requests == []


def test_a_callable_is_told_of_every_run():
    told, ended = [], threading.Semaphore(0)

    def tell(message):
        told.append(type(message).__name__)
        if isinstance(message, OperatorComplete):
            ended.release()

    with operating(ScriptedClient([LOOK, fire(), DONE, DONE]), notify=tell) as one:
        one.run()
        one.run()
        for _ in range(2):
            assert ended.acquire(timeout=10)
    assert told == ["OperatorNotification", "OperatorComplete", "OperatorComplete"]


def test_one_that_raises_harms_no_run_and_is_told():
    def tell(_message):
        raise ValueError("full disk")

    with operating(ScriptedClient([LOOK, fire(), DONE]), notify=tell) as one:
        assert len(one.run().result()) == 1
        failed = one.events.wait_for("operator.notify_failed", 2)
    assert failed[0]["reason"] == "ValueError: full disk"


def test_an_actor_that_has_ended_harms_no_run():
    box = Box.start([], threading.Event())
    box.stop()
    with operating(ScriptedClient([LOOK, fire(), DONE]), notify=box) as one:
        assert len(one.run().result()) == 1


def test_callbacks_of_a_run_that_raise_harm_nothing(caplog):
    def raises(_given):
        raise ValueError("no")

    with operating(ScriptedClient([LOOK, fire(), DONE])) as one:
        assert len(one.run(on_notification=raises, on_complete=raises).result()) == 1
    assert "a callback of a run failed" in caplog.text


def test_whoever_is_told_of_the_end_finds_the_operator_at_rest():
    found, ended = [], threading.Event()
    with operating(ScriptedClient([DONE])) as one:

        def complete(_handle):
            found.append(one.status())
            ended.set()

        one.ask(on_complete=complete)
        assert ended.wait(10)
    assert (found[0].running, found[0].runs) == (False, 1)
