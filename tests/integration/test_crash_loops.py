"""A host's own supervision tree in trouble is watched without a key; the alert names the exception's line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import blinker

from beamlens import Beamlens
from beamlens_actors import Actor, ActorDead
from beamlens_supervision import ChildSpec, Supervisor


class Importer(Actor):
    """Takes rows; one that is damaged ends it."""

    def on_receive(self, row):
        return self.parse(row)

    def parse(self, row):
        return row["amount"] * 2


class Indexer(Actor):
    """Takes more than it gets done."""

    def __init__(self, over):
        super().__init__()
        self.over = over

    def on_receive(self, row):
        self.over.wait(0.1)


@contextlib.contextmanager
def watched(**options):
    found, produced = {"alerts": [], "insights": []}, threading.Event()

    def on_alert(_sender, *, alert, **_metadata):
        found["alerts"].append(alert)

    def on_insight(_sender, *, insight, **_metadata):
        found["insights"].append(insight)
        produced.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    with Beamlens.start(watchers=[{"name": "sup", **options}]) as lens:
        yield found, produced, lens


@contextlib.contextmanager
def importers(max_restarts):
    specs = [ChildSpec(f"importer-{number}", Importer.start) for number in range(3)]
    supervisor = Supervisor.start(specs, name="Imports", max_restarts=max_restarts)
    yield supervisor
    if supervisor.is_alive():
        supervisor.stop()


def test_a_worker_that_crashes_again_and_again_is_named_with_the_line():
    with importers(1000) as supervisor, watched() as (found, produced, _lens):
        for _ in range(100):
            ref = supervisor.child("importer-1")
            if ref is not None:
                ref.tell({"total": 3})
            if produced.wait(0.4):
                break
        (insight,) = found["insights"]
        line = Importer.parse.__code__.co_firstlineno + 1
        assert f"test_crash_loops.py:{line} in Importer.parse" in insight.root_cause_hypothesis
        assert insight.root_cause_hypothesis.startswith("A worker that crashes again and again at ")
        assert "are KeyError at " in insight.root_cause_hypothesis
        assert "worker 'importer-1' of Imports" in found["alerts"][0].observation
        assert [alert.anomaly_type for alert in found["alerts"]] == ["crash_loop"]


def test_a_tree_that_gave_up_is_a_critical_alert():
    with importers(2) as supervisor, watched() as (found, produced, _lens):
        for _ in range(3):
            ref = supervisor.child("importer-1")
            ref.tell({"total": 3})
            ref.join()
        supervisor.join()
        assert produced.wait(45.0)
        assert found["alerts"][0].severity == "critical"
        assert "Imports gave up and ended with all of its children" in found["alerts"][0].observation


def test_an_actor_that_falls_behind_is_named_with_the_line_it_is_at():
    over = threading.Event()
    supervisor = Supervisor.start([ChildSpec("indexer", Indexer.options(name="indexer").start, (over,))], name="Search")
    try:
        with watched() as (found, produced, _lens):
            for _ in range(240):
                for _ in range(50):
                    supervisor.child("indexer").tell("row")
                if produced.wait(0.25):
                    break
            (insight,) = found["insights"]
        line = Indexer.on_receive.__code__.co_firstlineno + 1
        assert f"test_crash_loops.py:{line} in Indexer.on_receive" in insight.root_cause_hypothesis
        assert "wait for the actor indexer (Indexer)" in insight.root_cause_hypothesis
        assert {alert.anomaly_type for alert in found["alerts"]} == {"mailbox_growth"}
    finally:
        over.set()
        supervisor.stop()


def test_children_that_nobody_waits_for_are_told_by_the_program_they_ran():
    children = []
    with watched(zombie_after=1.0) as (found, produced, _lens):
        children += [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(6)]
        try:
            assert produced.wait(60.0)
        finally:
            for child in children:
                child.wait()
    (insight,) = found["insights"]
    assert insight.root_cause_hypothesis.startswith("Ended child processes that nobody waits for")
    assert "6 ended child processes were never waited for" in insight.root_cause_hypothesis


def test_a_busy_healthy_tree_with_a_crash_now_and_then_has_no_alert():
    with importers(1000) as supervisor, watched() as (found, produced, lens):
        supervisor.child("importer-0").tell({})
        for number in range(100):
            for child in range(3):
                ref = supervisor.child(f"importer-{child}")
                if ref is not None:
                    with contextlib.suppress(ActorDead):  # the one that crashes
                        for _ in range(20):
                            ref.tell({"amount": number})
            assert not produced.wait(0.1)
        data = lens.domain("sup").snapshot()
        assert found["alerts"] == []
        assert (data["supervisor_count"], data["total_children"], data["restarts_1m"]) == (1, 3, 1)
        assert data["own_supervisor_count"] > 3
