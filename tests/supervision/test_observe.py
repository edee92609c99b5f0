from __future__ import annotations

import pytest

from beamlens_actors import Actor, Crash
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildSpec,
    ChildStarted,
    DynamicSupervisor,
    GaveUp,
    RestartFailed,
    Supervisor,
    observe,
)
from beamlens_supervision.events import observers


class Fragile(Actor):
    broken = False

    def on_start(self):
        if type(self).broken:
            raise LookupError("no broker")

    def on_receive(self, message):
        raise KeyError(message)


@pytest.fixture
def heard():
    events = []
    take_back = observe(events.append)
    yield events
    take_back()
    assert observers() == ()


def kinds(events):
    return [type(event) for event in events]


def test_every_supervisor_of_the_process_is_heard_beside_its_own_on_event(heard):
    own = []
    sup = Supervisor.start([ChildSpec("one", Fragile.start)], on_event=own.append)
    other = DynamicSupervisor.start()
    other.start_child(ChildSpec("two", Fragile.start))
    assert [(event.supervisor, event.child_id) for event in heard] == [(sup, "one"), (other, "two")]
    assert own == heard[:1]
    other.stop()
    sup.stop()


def test_a_restart_that_fails_is_told_with_its_error_until_the_supervisor_gives_up(heard):
    class Broken(Fragile):
        pass

    sup = Supervisor.start([ChildSpec("one", Broken.start)], max_restarts=2)
    Broken.broken = True
    sup.child("one").tell("row")
    sup.join()
    assert kinds(heard) == [ChildStarted, ChildEnded, RestartFailed, RestartFailed, GaveUp]
    assert isinstance(heard[1].reason, Crash)
    assert [str(event.error) for event in heard[2:4]] == ["no broker", "no broker"]


def test_an_observer_that_raises_harms_neither_the_supervisor_nor_the_next_one(heard, caplog):
    def broken(event):
        raise RuntimeError("broken observer")

    take_back, later = observe(broken), []
    take_back_too = observe(later.append)
    sup = Supervisor.start([ChildSpec("one", Fragile.start)])
    ref = sup.child("one")
    ref.tell("row")
    ref.join()
    while sup.child("one") in (None, ref):
        pass
    take_back()
    take_back_too()
    assert kinds(heard) == kinds(later) == [ChildStarted, ChildEnded, ChildRestarted]
    assert "broken observer" in caplog.text
    sup.stop()


def test_the_same_observer_given_twice_is_taken_back_each_time():
    take_back = observe(print)
    take_back()
    take_back()
    assert observers() == ()
