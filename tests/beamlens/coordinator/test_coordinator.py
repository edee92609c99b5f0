from __future__ import annotations

from contextlib import contextmanager

import pytest

from beamlens.coordinator import AlertInbox, CoordinatorActor, Insights, RunRequest
from beamlens.evidence import Evidence, Place, Strength
from beamlens.findings import status
from beamlens.llm.offline import OfflineAnalyst
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Registry
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor
from tests.beamlens.coordinator.test_inbox import alert
from tests.support.agents import services

PLACE = Place(file="/srv/app/cache.py", line=7, function="put")
LEAK = Evidence(text="_entries grew by 900 items", cause="memory_leak", strength=Strength.CONCLUSIVE, place=PLACE)


@contextmanager
def coordinating(client, **options):
    inbox, insights, registry = AlertInbox(), Insights(), Registry()
    with services(client, **options) as (made, events):
        spec = CoordinatorActor.child_spec(made, inbox, insights, registry=registry, settle=0.01)
        supervisor = Supervisor.start([spec], max_restarts=10)
        try:
            yield inbox, insights, events, registry
        finally:
            supervisor.stop()


def insight(*ids, **more):
    fields = {"correlation_type": "temporal", "summary": "s", "confidence": "low"}
    return tool("produce_insight", alert_ids=list(ids), **{**fields, **more})


def test_an_alert_becomes_an_insight_and_is_acknowledged():
    first = alert()
    client = ScriptedClient([tool("get_alerts"), insight(first.id), tool("done")])
    with coordinating(client) as (inbox, insights, events, registry):
        inbox.offer(first)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
        assert inbox.counts() == (1, 1, 0, 0, 0)
        found = registry.lookup(("coordinator", "coordinator")).ask(status)
    (produced,) = insights.all()
    assert (produced.alert_ids, produced.model, produced.cause) == ((first.id,), "scripted", None)
    assert (found.kind, found.running) == ("coordinator", False)


def test_done_is_refused_while_an_alert_is_left_and_resolving_needs_a_reason():
    first = alert()
    client = ScriptedClient(
        [
            tool("done"),
            tool("update_alert_statuses", alert_ids=[first.id], status="resolved"),
            tool("update_alert_statuses", alert_ids=[first.id], status="resolved", reason="a test"),
            tool("done"),
        ]
    )
    with coordinating(client) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
        assert inbox.counts().queued == 0
    assert insights.all() == []
    answers = [request.messages[-1].content[0].content for request in client.requests[1:3]]
    assert "1 alerts are in no insight" in answers[0]
    assert "give the reason" in answers[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (insight(), "alert_ids is empty"),
        (insight("f" * 16), "no alert has the id ffffffffffffffff; unresolved alerts:"),
        (insight("ID", cause_place="/x.py:1", cause_kind="k", root_cause_hypothesis="h"), "is in no evidence"),
        (insight("ID", cause_kind="k"), "belong to a root_cause_hypothesis"),
    ],
)
def test_an_insight_that_facts_do_not_carry_goes_back_to_the_model(call, words):
    first = alert().model_copy(update={"evidence": (LEAK,)})
    call.arguments["alert_ids"] = [first.id if one == "ID" else one for one in call.arguments["alert_ids"]]
    client = ScriptedClient([call, insight(first.id), tool("done")])
    with coordinating(client) as (inbox, _insights, events, _registry):
        inbox.offer(first)
        (failed,) = events.wait_for("coordinator.insight_failed")
        events.wait_for("coordinator.run_stopped", stopped_by="done")
    assert words in failed["reason"]


def test_a_cause_whose_place_is_in_the_evidence_is_kept():
    first = alert().model_copy(update={"evidence": (LEAK,)})
    call = insight(
        first.id, cause_kind="memory_leak", cause_place="/srv/app/cache.py:7", root_cause_hypothesis="a leak"
    )
    client = ScriptedClient([call, tool("done")])
    with coordinating(client) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
    assert insights.all()[0].cause.place == PLACE


def test_what_a_model_leaves_over_the_offline_analyst_finishes():
    first = alert().model_copy(update={"evidence": (LEAK,)})
    client = ScriptedClient(["I would rather not."], repeat_last=True)
    with coordinating(client) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.insight_produced")
    assert insights.all()[0].model == "offline"


def test_a_coordinator_that_is_killed_is_restarted_and_loses_no_alert():
    first = alert()
    client = ScriptedClient([ScriptedClient.HANG, insight(first.id), tool("done")])
    with coordinating(client) as (inbox, insights, events, registry):
        inbox.offer(first)
        client.wait_for_calls(1)
        registry.lookup(("coordinator", "coordinator")).kill()
        events.wait_for("coordinator.insight_produced")
        assert inbox.counts() == (1, 1, 0, 0, 0)
    assert len(insights.all()) == 1


def test_the_offline_analyst_names_a_cause_that_facts_carry_with_high_confidence():
    analyst = OfflineAnalyst()
    first = alert().model_copy(update={"evidence": (LEAK,)})
    with coordinating(analyst, offline=analyst) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.insight_produced")
    (produced,) = insights.all()
    assert (produced.confidence, produced.cause.kind, produced.cause.place) == ("high", "memory_leak", PLACE)
    assert produced.hypothesis_grounded


def test_the_offline_analyst_ends_with_text_that_is_no_utf_8():
    analyst = OfflineAnalyst()
    first = alert().model_copy(update={"observation": "no space left: b\udce4.txt", "evidence": ()})
    with coordinating(analyst, offline=analyst) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
    assert "no space left: b\\udce4.txt" in insights.all()[0].summary


def test_the_offline_analyst_says_that_it_does_not_know_and_what_is_ruled_out():
    analyst = OfflineAnalyst()
    against = Evidence(text="no container grows", cause="container_growth", strength=Strength.EXCLUDES)
    first = alert().model_copy(update={"evidence": (against,)})
    with coordinating(analyst, offline=analyst) as (inbox, insights, events, _registry):
        inbox.offer(first)
        events.wait_for("coordinator.insight_produced")
    (produced,) = insights.all()
    assert produced.root_cause_hypothesis is None
    assert produced.confidence == "low"
    assert "The cause is not known; ruled out: no container grows" in produced.summary
    assert produced.ruled_out == ("no container grows",)


ASKED = RunRequest("anomaly", "Detector anomaly escalation", "orders.latency_ms: 200")


def test_a_run_that_is_asked_for_is_told_why():
    client = ScriptedClient([tool("done")])
    with coordinating(client) as (_inbox, _insights, events, registry):
        registry.lookup(("coordinator", "coordinator")).tell(ASKED)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
    said = str(client.requests[0].messages)
    assert "This run was asked for by: anomaly." in said
    assert "Detector anomaly escalation\\nobserved: " in said
    assert "orders.latency_ms: 200" in said


def test_the_alert_that_follows_a_request_is_part_of_the_same_run():
    first = alert()
    client = ScriptedClient([tool("get_alerts"), insight(first.id), tool("done")])
    with FakeClock() as clock, coordinating(client) as (inbox, insights, events, registry):
        ref = registry.lookup(("coordinator", "coordinator"))
        ref.tell(ASKED)
        ref.ask(status)
        inbox.offer(first)
        events.wait_for("coordinator.alert_received")
        ref.ask(status)
        clock.advance(1)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
        clock.advance(100)
        assert ref.ask(status).running is False
    assert len(insights.all()) == 1
    assert "orders.latency_ms: 200" in str(client.requests[0].messages)
