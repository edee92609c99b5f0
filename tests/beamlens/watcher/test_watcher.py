from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from beamlens.errors import LLMError
from beamlens.findings import status
from beamlens.testing import ScriptedClient, tool
from beamlens.watcher import WatcherActor
from beamlens_actors import Registry
from beamlens_actors.testing import FakeClock
from beamlens_supervision import DynamicSupervisor
from tests.support.agents import Queue, services

WAIT = tool("wait", ms=28_800_000)


@contextmanager
def watching(client, domain=None, *, continuous=False, **options):
    """A supervised watcher of the test queue: (registry, events, published alerts, supervisor)."""
    published, registry = [], Registry()
    with services(client, **options) as (made, events):
        supervisor = DynamicSupervisor.start(max_restarts=10)

        def publish(alert):
            published.append(alert)
            return "delivered"

        spec = WatcherActor.child_spec(
            made, domain or Queue(), publish, registry=registry, name="queue", continuous=continuous
        )
        supervisor.start_child(spec)
        try:
            yield registry, events, published, supervisor
        finally:
            supervisor.stop()


def ask(registry):
    return registry.lookup(("watcher", "queue")).ask(status, timeout=5)


def cited(request):
    """The snapshot's id in the last tool output of a request."""
    import re

    return re.findall(r'"id": "([0-9a-f]{16})"', request.messages[-1].content[0].content)[0]


def fire(request):
    return tool(
        "fire_alert",
        type="deep_queue",
        severity="warning",
        context="c",
        observation="depth is 1",
        snapshot_ids=[cited(request)],
    )


def test_it_looks_at_once_fires_an_alert_and_waits():
    client = ScriptedClient([tool("take_snapshot"), fire, tool("set_state", state="warning", reason="deep"), WAIT])
    with watching(client) as (registry, events, published, _supervisor):
        events.wait_for("watcher.wait")
        found = ask(registry)
    (alert,) = published
    assert (alert.watcher, alert.anomaly_type, alert.severity, alert.model) == (
        "queue",
        "deep_queue",
        "warning",
        "scripted",
    )
    assert alert.snapshots[0].data == {"depth": 1}
    assert (found.state, found.running, found.alerts, found.stopped_by) == ("warning", False, 1, "wait")
    assert 0 < found.wait_seconds <= 28_800


def test_the_alert_carries_the_trace_id_of_its_run():
    client = ScriptedClient([tool("take_snapshot"), fire, WAIT])
    with watching(client) as (_registry, events, published, _supervisor):
        events.wait_for("watcher.wait")
        (iteration, *_rest) = events.of("watcher.iteration_start")
    assert published[0].trace_id == iteration["trace_id"]


def test_an_alert_without_a_snapshot_goes_back_to_the_model():
    bad = tool("fire_alert", type="x", severity="warning", context="c", observation="o", snapshot_ids=[])
    unknown = tool("fire_alert", type="x", severity="warning", context="c", observation="o", snapshot_ids=["f" * 16])
    client = ScriptedClient([bad, unknown, WAIT])
    with watching(client) as (_registry, events, published, _supervisor):
        events.wait_for("watcher.wait")
        reasons = [metadata["reason"] for metadata in events.of("watcher.alert_failed")]
    assert published == []
    assert "at least one snapshot" in reasons[0]
    assert "no snapshot has the id ffffffffffffffff" in reasons[1]


def test_status_is_answered_while_a_model_call_hangs():
    client = ScriptedClient([ScriptedClient.HANG])
    with watching(client) as (registry, _events, _published, _supervisor):
        client.wait_for_calls(1)
        found = ask(registry)
    assert (found.running, found.iteration, found.state) == (True, 0, "healthy")


def test_killed_in_the_middle_of_a_model_call_it_is_restarted_and_the_call_is_given_up():
    aborted = threading.Event()

    def hang(_request):
        return ScriptedClient.HANG

    class Client(ScriptedClient):
        def complete(self, request, *, abort):
            abort.on_abort(aborted.set)
            return super().complete(request, abort=abort)

    client = Client([hang, tool("take_snapshot"), WAIT])
    with watching(client) as (registry, events, _published, _supervisor):
        client.wait_for_calls(1)
        first = registry.lookup(("watcher", "queue"))
        first.kill()
        assert aborted.wait(10)
        events.wait_for("watcher.wait")
        second = registry.lookup(("watcher", "queue"))
        found = ask(registry)
    assert second is not first
    assert (found.runs, found.stopped_by) == (1, "wait")


def test_a_sensor_ends_the_wait_with_its_reason():
    domain = Queue()
    client = ScriptedClient([WAIT], repeat_last=True)
    with FakeClock() as clock, watching(client, domain) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        domain.depth = 600
        while not events.of("watcher.woken"):
            domain.pass_second(clock)
        (woken, *_rest) = events.of("watcher.woken")
        events.wait_for("watcher.wait", 2)
        found = ask(registry)
    assert "sensor depth_threshold: depth is 600 orders, at or above 500 orders" in woken["reason"]
    assert found.active_sensors == ("depth_threshold",)
    opening = client.requests[1].messages[0].content[0].text
    assert "depth_threshold (critical, alert type depth_high)" in opening


def test_the_note_of_a_wait_is_there_at_the_next_look():
    client = ScriptedClient([tool("wait", ms=1000, note="watch the depth"), WAIT])
    with FakeClock() as clock, watching(client) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        ask(registry)  # told before its timer stands, answered after
        clock.advance(1.0)
        client.wait_for_calls(2)
        events.wait_for("watcher.wait", 2)
        waits = [numbers["seconds"] for name, _, numbers, _ in events.all if name == "watcher.wait"]
    assert waits == [1.0, 28_800.0]
    note = 'Your note from the last look:\n<untrusted source="note">\nwatch the depth\n</untrusted>'
    assert note in client.requests[1].messages[0].content[0].text


def test_a_domain_that_fails_is_told_once_and_watched_on():
    domain = Queue()
    domain.failing = OSError("gone")
    client = ScriptedClient([tool("take_snapshot"), WAIT])
    with FakeClock() as clock, watching(client, domain) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        for _ in range(3):
            domain.pass_second(clock)
        assert len(events.of("watcher.sensor_failed")) == 1
        assert ask(registry).state == "healthy"
    assert (
        client.requests[1].messages[-1].content[0].content
        == 'the snapshot failed:\n<untrusted source="queue">\nOSError: gone\n</untrusted>'
    )


def test_lua_reaches_the_domains_callbacks():
    client = ScriptedClient([tool("execute", code="return queue_oldest(2)"), WAIT])
    with watching(client) as (_registry, events, _published, _supervisor):
        (done,) = events.wait_for("watcher.execute_complete")
    assert done["result"] == [{"order": 0}, {"order": 1}]


def test_a_lua_mistake_goes_back_to_the_model():
    client = ScriptedClient([tool("execute", code="return queue_odlest(2)"), WAIT])
    with watching(client) as (_registry, events, _published, _supervisor):
        (failed,) = events.wait_for("watcher.execute_error")
        events.wait_for("watcher.wait")
    assert "did you mean queue_oldest?" in failed["reason"]


def test_without_a_model_the_offline_analyst_reports_an_active_sensor():
    from beamlens.llm.offline import OfflineAnalyst

    domain = Queue()
    domain.depth = 600
    analyst = OfflineAnalyst()
    with FakeClock() as clock, watching(analyst, domain, offline=analyst) as (registry, events, published, _supervisor):
        while not published:
            domain.pass_second(clock)
        events.wait_for("watcher.state_change", to_state="critical")
        events.wait_for("watcher.wait", 2)
        domain.depth = 1
        while not events.of("watcher.sensor_cleared"):
            domain.pass_second(clock)
        events.wait_for("watcher.state_change", to_state="healthy")
    (alert,) = published
    assert (alert.anomaly_type, alert.severity, alert.model) == ("depth_high", "critical", "offline")
    assert "depth is 600 orders" in alert.observation


def test_a_provider_that_is_down_does_not_end_the_watch():
    client = ScriptedClient([LLMError("wrong key", kind="authentication", retryable=False)], repeat_last=True)
    with watching(client) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        found = ask(registry)
    assert (found.model, found.stopped_by) == ("offline", "wait")


@pytest.mark.parametrize("message", ["hello", 5])
def test_a_message_that_it_does_not_know_is_told_and_does_not_end_it(message):
    client = ScriptedClient([WAIT])
    with watching(client) as (registry, events, _published, _supervisor):
        registry.lookup(("watcher", "queue")).tell(message)
        (unexpected,) = events.wait_for("watcher.unexpected_message")
        assert ask(registry).name == "queue"
    assert unexpected["message"] == repr(message)
