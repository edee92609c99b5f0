"""Alerts of a real look, and what becomes of numbers that nobody showed to the model (design D6)."""

from __future__ import annotations

import re
from contextlib import closing, contextmanager

import pytest

from beamlens.agent import Limits
from beamlens.detect import SensorState
from beamlens.errors import LLMError
from beamlens.evidence import Evidence, Strength
from beamlens.findings import Investigation
from beamlens.llm.offline import OfflineAnalyst
from beamlens.lua import Sandbox
from beamlens.testing import ScriptedClient, tool
from beamlens.watcher.look import Look
from beamlens_actors import AbortSignal
from tests.support.agents import Queue, services

WAIT = tool("wait", ms=3_600_000)
DEEP = SensorState(
    "depth", "depth", "depth_high", "warning", "depth is 612 orders, at or above 100 orders for 4 s", 0.0, 612.0
)


def fire(observation, kind="deep", context="The queue is filled faster than it is read."):
    def step(request):
        shown = [block.content for message in request.messages[2:3] for block in message.content]
        ids = re.findall(r'"id": "([0-9a-f]{16})"', shown[0])
        return tool(
            "fire_alert",
            type=kind,
            severity="warning",
            context=context,
            observation=observation,
            hypothesis="Perhaps 99 workers died.",
            snapshot_ids=ids,
        )

    return step


class Deep(Queue):
    def evidence(self, sensor, /):
        text = "23 of 37 orders wait for 2.5 s"
        return [Evidence(text=text, cause="slow", strength=Strength.CONCLUSIVE, data={"share": 0.62})]


@contextmanager
def looking(client, **options):
    domain, published = Deep(), []
    domain.depth = 612
    with services(client, **options) as (made, events), closing(Sandbox(domain.callbacks())) as sandbox:
        found = Investigation(
            made, domain, kind="watcher", agent="queue", publish=lambda a: published.append(a) or "ok"
        )

        def look(reason="the watch begins", sensors=(), **limits):
            arguments = {"abort": AbortSignal(), "iterations": [0], "limits": Limits(**limits)}
            return Look(found, sandbox, reason=reason, sensors=sensors, **arguments).run()

        yield look, published, events


def answers(client):
    """What the model got back from its alerts."""
    return [
        block.content
        for request in client.requests
        for block in request.messages[-1].content
        if "alert_id" in getattr(block, "content", "") or "not fired" in getattr(block, "content", "")
    ]


@pytest.mark.parametrize(
    "observation",
    [
        "There are 612 orders, about six times the bound of 100.",
        "The depth is above 500 orders for 4 s; 23 of 37 orders (62 %) wait for 2.5 s.",
        "The depth exceeds its critical bound of 500 by 112 orders, that is by 22 %.",
        "queue_oldest shows 3 orders, the last one is 2.",
    ],
)
def test_numbers_from_snapshots_results_sensors_and_evidence_are_found(observation):
    script = [tool("take_snapshot"), tool("execute", code="return queue_oldest(3)"), fire(observation), WAIT]
    with looking(ScriptedClient(script)) as (look, published, _events):
        look(sensors=(DEEP,))
    (alert,) = published
    assert (alert.numbers_verified, alert.unverified_numbers) == (True, ())


def test_a_number_from_nowhere_goes_back_once_and_the_corrected_alert_is_verified():
    client = ScriptedClient([tool("take_snapshot"), fire("812 orders wait"), fire("612 orders wait"), WAIT])
    with looking(client) as (look, published, events):
        look()
        failed = events.wait_for("watcher.alert_failed")
    assert [(alert.observation, alert.numbers_verified) for alert in published] == [("612 orders wait", True)]
    assert len(failed) == 1
    refused, fired = answers(client)
    assert "that you were shown in this look: 812. Take" in refused
    assert "<untrusted" not in refused  # our own words, which the model shall follow
    assert '"numbers_verified": true' in fired


def test_a_number_of_another_metric_goes_back_with_what_the_metric_is():
    client = ScriptedClient([tool("take_snapshot"), fire("depth is 812, 9 wait"), fire("depth is 612"), WAIT])
    with looking(client) as (look, published, _events):
        look()
    assert [(alert.observation, alert.numbers_verified) for alert in published] == [("depth is 612", True)]
    refused, _fired = answers(client)
    assert "not fired: depth is 612 orders and not 812. These numbers are in no snapshot" in refused
    assert "in this look: 9. Take" in refused


def test_one_that_still_fails_is_fired_and_marked():
    client = ScriptedClient([tool("take_snapshot"), fire("812 orders"), fire("813 orders, 612 before"), WAIT])
    with looking(client) as (look, published, _events):
        look()
    (alert,) = published
    assert (alert.numbers_verified, alert.unverified_numbers) == (False, ("813",))
    assert '"numbers_verified": false, "not_found": ["813"]' in answers(client)[-1]


def test_the_context_is_checked_and_the_hypothesis_is_not():
    script = [tool("take_snapshot"), fire("612 orders", context="40 workers run."), fire("612 orders"), WAIT]
    client = ScriptedClient(script)
    with looking(client) as (look, published, _events):
        look()
    assert "look: 40. Take" in answers(client)[0]
    assert published[0].numbers_verified is True


def test_without_numbers_there_is_nothing_to_verify():
    with looking(ScriptedClient([tool("take_snapshot"), fire("the queue is full"), WAIT])) as (
        look,
        published,
        _events,
    ):
        look()
    assert published[0].numbers_verified is None


def test_no_model_is_sent_back_more_than_three_times_in_a_look():
    wrong = [fire(f"{number} orders", kind=f"kind {number}") for number in range(8000, 8006)]
    with looking(ScriptedClient([tool("take_snapshot"), *wrong, WAIT])) as (look, published, events):
        look()
        failed = events.wait_for("watcher.alert_failed", 3)
    assert (len(failed), [alert.observation for alert in published]) == (
        3,
        ["8003 orders", "8004 orders", "8005 orders"],
    )


def test_what_a_model_said_itself_is_no_evidence():
    script = [
        [tool("take_snapshot"), tool("think", thought="812 orders, I believe")],
        fire("812 orders"),
        fire("812 orders"),
        tool("get_alerts"),
        fire("812 orders", kind="again"),
        tool("wait", ms=1000, note="812 orders"),
        tool("take_snapshot"),
        fire("812 orders", kind="third"),
        WAIT,
    ]
    client = ScriptedClient(script)
    with looking(client) as (look, published, events):
        look()
        look()
        assert len(events.wait_for("watcher.alert_failed", 3)) == 3
    assert [alert.numbers_verified for alert in published] == [False]


def test_an_alert_that_was_taken_back_is_not_fired():
    with looking(ScriptedClient([tool("take_snapshot"), fire("812 orders"), WAIT])) as (look, published, _events):
        look()
    assert published == []


def test_an_alert_whose_look_is_cut_off_is_fired_and_marked():
    client = ScriptedClient([tool("take_snapshot"), fire("812 orders")])
    with looking(client) as (look, published, _events):
        assert (look(max_iterations=2).model, _events.of("watcher.taken_over")[0]["stopped_by"]) == (
            "offline",
            "max_iterations",
        )
    (alert,) = published
    assert (alert.numbers_verified, alert.model) == (False, "scripted")
    assert alert.trace_id != "0" * 32


def test_an_alert_whose_model_went_away_is_fired_and_marked():
    down = LLMError("gone", kind="authentication", retryable=False)
    client = ScriptedClient([tool("take_snapshot"), fire("812 orders"), down])
    with looking(client) as (look, published, _events):
        assert look().model == "offline"
    assert [(alert.anomaly_type, alert.numbers_verified) for alert in published] == [("deep", False)]


def test_the_offline_analyst_is_verified_and_never_sent_back():
    analyst = OfflineAnalyst()
    with looking(analyst, offline=analyst) as (look, published, events):
        look(sensors=(DEEP,))
        assert events.of("watcher.alert_failed") == []
    (alert,) = published
    assert (alert.model, alert.numbers_verified, alert.unverified_numbers) == ("offline", True, ())
