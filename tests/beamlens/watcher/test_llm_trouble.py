"""Whatever becomes of the model: no look is lost, the offline analyst stands in, and the model is tried again."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm.client import Completion, ToolCall
from beamlens.testing import ScriptedClient, tool
from beamlens.watcher.patience import FIRST_PAUSE, LONGEST_PAUSE, Patience
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildStartError, TaskSupervisorRef
from tests.beamlens.watcher.test_watcher import WAIT, ask, watching
from tests.support.agents import Queue


class _Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def _raise(error):
    def entry(_request):
        raise error

    return entry


def _storm(_request):
    raise LLMError("429", kind="rate_limit", retryable=True, retry_after=0.5)


NONSENSE = ToolCall("x", "wait", {"minutes": "many"})
UNKNOWN = ToolCall("y", "get_node_info", {})
ANSWERED_WRONGLY, FAILED, REFUSED, HUNG = 5, 3, 1, 3
TROUBLES = {
    "an error": (LLMError("overloaded", kind="overloaded", retryable=True), FAILED),
    "an error for good": (LLMError("wrong key", kind="authentication", retryable=False), REFUSED),
    "a 429 storm": (_storm, FAILED),
    "a hang": (ScriptedClient.HANG, HUNG),
    "malformed calls": (NONSENSE, ANSWERED_WRONGLY),
    "calls of tools that do not exist": (UNKNOWN, ANSWERED_WRONGLY),
    "empty answers": (Completion(model="scripted"), ANSWERED_WRONGLY),
    "words": ("all is well", ANSWERED_WRONGLY),
    "a foreign exception": (_raise(KeyError("usage")), REFUSED),
    "an exception without words": (_raise(_Hostile()), REFUSED),
    "SystemExit": (_raise(SystemExit(3)), FAILED),
    "KeyboardInterrupt": (_raise(KeyboardInterrupt()), FAILED),
    "GeneratorExit": (_raise(GeneratorExit()), FAILED),
    "no completion": (lambda _request: 42, REFUSED),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_offline_analyst_stands_in_and_the_model_is_tried_again(trouble, caplog):
    entry, calls = TROUBLES[trouble]
    domain = Queue()
    client = ScriptedClient([WAIT, *[entry] * (2 * calls), WAIT])
    with FakeClock() as clock, watching(client, domain) as (registry, events, published, _supervisor):
        events.wait_for("watcher.wait")
        domain.depth = 600
        while len(client.requests) < 2 * calls + 2:
            events.pass_time(clock, 0.25 if ask(registry).running else 3.0)
        waits = len(events.of("watcher.look_started"))
        events.wait_for("watcher.wait", waits)
        looks = [metadata["model"] for metadata in events.of("watcher.look_started")]
        found = ask(registry)
    # It begins; a sensor wakes it; it looks once more; then the model is left alone for a minute, and tried again.
    assert (looks[:3], looks[-1]) == (["scripted"] * 3, "scripted")
    assert set(looks[3:-1]) == {"offline"}
    assert (found.model, found.stopped_by) == ("scripted", "wait")
    assert [(alert.anomaly_type, alert.model) for alert in published] == [("depth_high", "offline")]


def test_that_the_analyst_takes_over_is_told_and_does_not_cost_the_models_note():
    down = LLMError("down", kind="server", retryable=False)
    client = ScriptedClient([tool("wait", ms=1000, note="watch the depth"), "a", "b", "c", "d", "e", down, WAIT])
    with FakeClock() as clock, watching(client) as (registry, events, _published, _supervisor):
        for look, seconds in ((1, 1.0), (2, 600.0), (3, 600.0), (4, 0.0)):
            events.wait_for("watcher.wait", look)
            ask(registry)  # told before its timer stands, answered after
            clock.advance(seconds)
        told = [(metadata["stopped_by"], metadata["reason"]) for metadata in events.of("watcher.taken_over")]
    assert told == [("fruitless", "it came to no end")]
    assert "watch the depth" in client.requests[-1].messages[0].content[0].text


def test_a_look_of_the_analyst_is_no_failure_of_the_model_however_long_it_takes(monkeypatch):
    down = LLMError("down", kind="authentication", retryable=False)
    client = ScriptedClient([down, down, WAIT])
    with FakeClock() as clock, watching(client) as (registry, events, _published, _supervisor):
        while len(events.of("watcher.wait")) < 2:
            events.pass_time(clock, 30.0)
        # The third look begins while the model is left alone, and ends when that is over.
        ended = Patience.ended
        monkeypatch.setattr(Patience, "exhausted", property(lambda self: len(events.of("watcher.look_started")) < 3))
        counted = []
        monkeypatch.setattr(
            Patience, "ended", lambda self, *, failed: counted.append(failed) or ended(self, failed=failed)
        )
        while len(events.of("watcher.wait")) < 4:
            events.pass_time(clock, 30.0)
        ask(registry)
    assert [metadata["model"] for metadata in events.of("watcher.look_started")[2:]] == ["offline", "scripted"]
    assert counted == [False]


def test_a_look_that_is_lost_is_looked_again_and_after_two_the_offline_analyst_looks(monkeypatch, caplog):
    from beamlens.agent.loop import AgentLoop

    def broken(loop, *args):
        if loop.model == "offline":
            return real(loop, *args)
        raise RuntimeError("a mistake in the loop")

    real = AgentLoop.run
    monkeypatch.setattr(AgentLoop, "run", broken)
    domain, client = Queue(), ScriptedClient([])
    with FakeClock() as clock, watching(client, domain) as (registry, events, _published, _supervisor):
        while len(events.of("watcher.look_started")) < 3:
            events.pass_time(clock)
        events.wait_for("watcher.wait", 3)
        found = ask(registry)
        waits = [numbers["seconds"] for name, _, numbers, _ in events.all if name == "watcher.wait"]
    assert waits == [1.0, 2.0, 600.0]
    assert (found.model, found.runs) == ("offline", 3)


def test_without_any_thread_to_be_had_it_goes_on_when_there_are_some_again(monkeypatch, caplog):
    exhausted = threading.Event()
    real = TaskSupervisorRef.run_nolink

    def no_thread(self, fn, *args, name=None, **options):
        # In a process that gets no more threads, and has none left that it kept.
        if exhausted.is_set():
            raise ChildStartError(name, RuntimeError("can't start new thread"))
        return real(self, fn, *args, name=name, **options)

    monkeypatch.setattr(TaskSupervisorRef, "run_nolink", no_thread)
    client = ScriptedClient([WAIT], repeat_last=True)
    with FakeClock() as clock, watching(client) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        first = registry.lookup(("watcher", "queue"))
        ask(registry)
        exhausted.set()
        clock.advance(28_800.0)  # the wait is over, and there is no thread to look on
        while len(events.of("watcher.wait")) < 4:
            events.pass_time(clock, 5.0)
        exhausted.clear()
        while len(client.requests) < 2:
            events.pass_time(clock, 5.0)
        while ask(registry).running:
            events.pass_time(clock)
        found = ask(registry)
        assert registry.lookup(("watcher", "queue")) is first
    assert (found.model, found.stopped_by) == ("scripted", "wait")
    assert [metadata["reason"] for metadata in events.of("watcher.wait")[1:4]] == ["lost"] * 3


def test_a_model_is_done_without_when_there_is_no_thread_to_call_it_on(monkeypatch):
    real = TaskSupervisorRef.run_nolink

    def no_thread_for_a_model(self, fn, *args, name=None, **options):
        if name.endswith(":llm"):
            raise ChildStartError(name, RuntimeError("can't start new thread"))
        return real(self, fn, *args, name=name, **options)

    monkeypatch.setattr(TaskSupervisorRef, "run_nolink", no_thread_for_a_model)
    client = ScriptedClient([])
    with FakeClock() as clock, watching(client) as (registry, events, _published, _supervisor):
        while not events.of("watcher.wait"):
            events.pass_time(clock)
        assert (ask(registry).model, client.requests) == ("offline", [])


def test_patience_lasts_twice_as_long_from_failure_to_failure_up_to_a_bound():
    with FakeClock() as clock:
        patience = Patience()
        patience.ended(failed=True)
        assert not patience.exhausted
        pauses = []
        for _ in range(1100):
            patience.ended(failed=True)
            assert patience.exhausted
            pauses.append(patience._until - clock.monotonic())
        clock.advance(pauses[-1])
        assert not patience.exhausted
        patience.ended(failed=False)
        assert patience.failures == 0
    assert pauses[:5] == [FIRST_PAUSE, 120.0, 240.0, 480.0, LONGEST_PAUSE]
    assert set(pauses[5:]) == {LONGEST_PAUSE}
