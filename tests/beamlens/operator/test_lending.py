"""A domain is lent for a run: its stores run for as long as the run lasts, whatever ends it."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import BeamlensError, Cancelled
from beamlens.operator import Lent
from beamlens.testing import ScriptedClient
from beamlens_actors import Actor
from beamlens_supervision import ChildSpec
from tests.support.agents import Queue
from tests.support.operators import DONE, LOOK, operating


class Store(Actor):
    def __init__(self, domain):
        super().__init__()
        self._domain = domain

    def on_start(self):
        if self._domain.store_fails:
            raise RuntimeError("no socket")
        self._domain.installed = True

    def on_terminate(self, reason):
        self._domain.installed = False
        self._domain.taken_out.set()


class Stored(Queue):
    """A queue with a store that installs something in the host."""

    def __init__(self):
        super().__init__()
        self.installed, self.closed, self.store_fails = False, threading.Event(), False
        self.taken_out = threading.Event()

    def children(self):
        return [ChildSpec("Store", Store.start, (self,), shutdown=1.0)]

    def snapshot(self):
        return {"depth": self.depth, "installed": self.installed}

    def close(self):
        self.closed.set()


def test_nothing_of_the_domain_runs_before_it_is_asked():
    domain = Stored()
    with operating(ScriptedClient([]), domain) as one:
        one.status()
        assert not domain.installed


def test_its_stores_run_while_it_looks_and_each_snapshot_says_since_when():
    domain = Stored()
    with operating(ScriptedClient([LOOK, DONE]), domain) as one:
        (snapshot,) = one.run().report.snapshots
        assert domain.taken_out.is_set()
    assert snapshot.data["installed"]
    assert snapshot.data["_recording_since"] <= snapshot.captured_at.isoformat()
    assert not domain.installed
    assert domain.closed.is_set()


def test_they_are_taken_out_when_the_run_is_cancelled():
    domain, client = Stored(), ScriptedClient([ScriptedClient.HANG])
    with operating(client, domain) as one:
        handle = one.ask()
        client.wait_for_calls(1)
        assert domain.installed
        handle.cancel()
        with pytest.raises(Cancelled):
            handle.result(10)
        assert not domain.installed


def test_they_are_taken_out_when_the_operator_is_killed():
    domain, client = Stored(), ScriptedClient([ScriptedClient.HANG])
    with operating(client, domain) as one:
        one.ask()
        client.wait_for_calls(1)
        one.ref.kill()
        assert domain.taken_out.wait(10)
        assert domain.closed.wait(10)


def test_they_are_taken_out_when_the_task_of_the_run_is_killed_and_its_thread_hangs():
    domain, entered, go = Stored(), threading.Event(), threading.Event()

    def excerpt(_limit=5):
        entered.set()
        go.wait(30)
        return []

    domain.excerpt = excerpt
    with operating(ScriptedClient([]), domain) as one:
        handle = one.ask()
        assert entered.wait(10)
        (task,) = [child.ref for child in one.services.loop_tasks().which_children() if child.ref.name == "queue:run"]
        task.kill()
        with pytest.raises(Cancelled):
            handle.result(10)
        assert domain.closed.wait(10)
        assert not domain.installed
        go.set()


def test_stores_that_do_not_start_are_the_error_of_the_run_and_leave_nothing():
    domain = Stored()
    domain.store_fails = True
    with operating(ScriptedClient([DONE]), domain) as one:
        handle = one.ask()
        with pytest.raises(BeamlensError, match="no socket"):
            handle.result(10)
        domain.store_fails = False
        assert one.run().result() == []


def test_a_domain_that_cannot_be_closed_costs_the_run_nothing(caplog):
    domain = Stored()

    def close():
        raise RuntimeError("stuck")

    domain.close = close
    with operating(ScriptedClient([DONE]), domain) as one:
        assert one.run().result() == []
    assert "domain queue could not be given back wholly" in caplog.text


class Watching:
    """A watcher's sensors that a test sets."""

    def __init__(self, readings=(), active=()):
        self.readings, self.now = list(readings), tuple(active)

    def active(self):
        return self.now

    def recent(self):
        return self.readings


def test_a_watched_domain_is_shared_and_its_snapshots_say_no_since():
    domain = Stored()
    client = ScriptedClient([LOOK, DONE])
    with operating(client, lambda: Lent(domain, watching=Watching())) as one:
        (snapshot,) = one.run().report.snapshots
    assert "_recording_since" not in snapshot.data
    assert (domain.installed, domain.closed.is_set()) == (False, False)
    assert "Nobody watched" not in str(client.requests[0].messages)
