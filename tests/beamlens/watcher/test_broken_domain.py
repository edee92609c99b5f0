"""A domain that raises or hangs costs one error, not its watcher."""

import threading

import pytest

from beamlens.testing import ScriptedClient, tool
from beamlens_actors.testing import FakeClock
from tests.beamlens.watcher.test_watcher import WAIT, ask, watching
from tests.support.agents import Queue


class Broken(Queue):
    """A queue whose numbers raise, or hang until they are let go."""

    def __init__(self, *, snapshot="", sense=""):
        super().__init__()
        self._ways = {"snapshot": snapshot, "sense": sense}
        self.entered, self.go = threading.Event(), threading.Event()

    def snapshot(self):
        return self._broken("snapshot") or super().snapshot()

    def sense(self):
        return self._broken("sense") or {"depth": 1.0}

    def _broken(self, what):
        if self._ways[what] == "raises":
            raise ZeroDivisionError("the pool is gone")
        if self._ways[what] == "hangs":
            self.entered.set()
            self.go.wait(60)


def test_a_snapshot_that_raises_is_an_answer_for_the_model_and_the_watch_goes_on():
    client = ScriptedClient([tool("take_snapshot"), WAIT])
    with watching(client, Broken(snapshot="raises")) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        found = ask(registry)
    output = client.requests[1].messages[-1].content[0]
    assert output.is_error
    assert "the pool is gone" in output.content
    assert (found.runs, found.stopped_by) == (1, "wait")


def test_a_snapshot_that_hangs_is_given_up_after_the_tools_time_and_the_watch_goes_on():
    domain = Broken(snapshot="hangs")
    client = ScriptedClient([tool("take_snapshot"), WAIT])
    with FakeClock() as clock, watching(client, domain) as (registry, events, _published, _supervisor):
        assert domain.entered.wait(10)
        assert ask(registry).running
        while not events.of("watcher.wait"):
            events.pass_time(clock, 5.0)  # not faster than what was woken can go on
        output = client.requests[1].messages[-1].content[0]
        domain.go.set()
    assert output.is_error
    assert "did not end within 30 s" in output.content


def test_numbers_that_raise_are_told_once_and_the_agent_can_still_look():
    with (
        FakeClock() as clock,
        watching(ScriptedClient([tool("take_snapshot"), WAIT]), Broken(sense="raises")) as (
            registry, events, _published, _supervisor,
        ),
    ):  # fmt: skip
        events.wait_for("watcher.wait")
        for _ in range(5):
            clock.wait_for_waiters(1)
            clock.advance(1.0)
        assert [told["reason"] for told in events.of("watcher.sensor_failed")] == [
            "ZeroDivisionError: the pool is gone"
        ]
        assert ask(registry).stopped_by == "wait"


@pytest.mark.parametrize("times", [1, 3])
def test_numbers_that_hang_are_told_once(times):
    domain = Broken(sense="hangs")
    with FakeClock() as clock, watching(ScriptedClient([WAIT]), domain) as (registry, events, _published, _supervisor):
        assert domain.entered.wait(10)
        events.wait_for("watcher.wait")
        clock.wait_for_waiters(1)
        for _ in range(times):
            clock.advance(30.0)
        events.wait_for("watcher.sensor_failed")
        assert [told["reason"] for told in events.of("watcher.sensor_failed")] == ["sense() has not returned for 30 s"]
        assert ask(registry).state == "healthy"
        domain.go.set()
