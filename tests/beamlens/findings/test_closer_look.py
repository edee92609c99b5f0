"""Closer looks at active sensors: one that fails costs nothing but itself."""

import threading
from functools import partial

from beamlens.detect import SensorState
from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.findings import Investigation
from beamlens.findings.closer_look import gather_evidence
from beamlens.testing import ScriptedClient
from beamlens_actors import AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.agents import Queue, services

FOUND = Evidence(text="a table of 9 rows", cause=CauseKind.MEMORY_LEAK, strength=Strength.SUPPORTING)


class Looked(Queue):
    """A queue whose closer look depends on the sensor's name."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Semaphore(0), threading.Event()

    def evidence(self, sensor):
        if sensor.name == "raises":
            raise ZeroDivisionError("the pool is gone")
        if sensor.name.startswith("hangs"):
            self.entered.release()
            self.go.wait(60)
        return [FOUND]


def active(name):
    return SensorState(name, "depth", "deep_queue", "warning", "depth is 900", since=0.0, value=900.0)


def gathered(domain, names, abort, during, *, failing=0):
    """What is found, with the events of what failed; ``during(clock)`` runs meanwhile."""
    with FakeClock() as clock, services(ScriptedClient([])) as (made, events):
        found = Investigation(made, domain, kind="watcher", agent="queue", publish=lambda _alert: "delivered")
        results = []
        look = partial(gather_evidence, found, [active(name) for name in names], abort)
        thread = threading.Thread(target=lambda: results.append(look()))
        thread.start()
        during(clock)
        while thread.is_alive():  # the grace of what was given up
            clock.advance(1.0)
            thread.join(0.02)
        domain.go.set()
        events.wait_for("watcher.evidence_failed", failing)
        failures = [(told["sensor"], told["reason"]) for told in events.of("watcher.evidence_failed")]
    return results, failures


def test_those_that_hang_are_given_up_together_after_30_s_and_the_others_are_kept():
    domain = Looked()

    def during(clock):
        assert domain.entered.acquire(timeout=10)
        assert domain.entered.acquire(timeout=10)
        clock.wait_for_waiters(1)
        clock.advance(29.9)
        clock.wait_for_waiters(1)
        clock.advance(0.2)

    results, failures = gathered(domain, ["hangs", "hangs too", "quick"], AbortSignal(), during, failing=2)
    assert results == [{"quick": (FOUND,)}]
    assert failures == [
        ("hangs", "TimeoutError: gave up after 30 s"),
        ("hangs too", "TimeoutError: gave up after 30 s"),
    ]


def test_one_that_raises_is_told_and_the_others_are_kept():
    results, failures = gathered(Looked(), ["raises", "quick"], AbortSignal(), lambda _clock: None, failing=1)
    assert results == [{"quick": (FOUND,)}]
    assert failures == [("raises", "ZeroDivisionError: the pool is gone")]


def test_an_abort_ends_it_and_is_no_failure():
    domain, abort = Looked(), AbortSignal()

    def during(_clock):
        assert domain.entered.acquire(timeout=10)
        abort.abort("stopped")

    results, failures = gathered(domain, ["hangs"], abort, during)
    assert results == [{}]
    assert failures == []
