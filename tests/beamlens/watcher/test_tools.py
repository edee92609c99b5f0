"""Every tool of a watcher: what it takes, refuses, answers and tells; through the real loop."""

from __future__ import annotations

import re

import pytest

from beamlens.domains import callback
from beamlens.findings.investigation import MOST_SNAPSHOT
from beamlens.findings.tools import domain_tools
from beamlens.testing import ScriptedClient, tool
from beamlens.watcher.wait import wait_tool
from tests.beamlens.watcher.test_watcher import WAIT, watching
from tests.support.agents import Queue

ALERT = {"type": "deep", "severity": "warning", "context": "c", "observation": "too deep", "snapshot_ids": ["$S"]}


class Rich(Queue):
    """A queue with callbacks that answer too much, or nothing that JSON can say."""

    @callback
    def flood(self, megabytes: int = 50) -> list:
        """So many megabytes of text."""
        return ["x" * 1000] * (megabytes * 1000)

    @callback
    def thing(self) -> object:
        """No JSON."""
        return object()


def answered(*calls, domain=None):
    """What the model is answered to its last call, after one snapshot; events, alerts."""
    given = {}

    def filled(call):
        def step(request):
            if "$S" not in given:
                text = "".join(block.content for block in request.messages[-1].content)
                given["$S"] = re.findall(r'"id": "([0-9a-f]{16})"', text)[0]
            return tool(call.name, **{name: _fill(value, given) for name, value in call.arguments.items()})

        return step

    client = ScriptedClient([tool("take_snapshot"), *map(filled, calls), WAIT])
    with watching(client, domain or Rich()) as (_registry, events, published, _supervisor):
        events.wait_for("watcher.wait")
    return client.requests[-1].messages[-1].content[0], events, published


def _fill(value, given):
    if isinstance(value, list):
        return [_fill(item, given) for item in value]
    return given.get(value, value) if isinstance(value, str) else value


# Tool, arguments, what the answer says; refused where the third starts with "!".
TABLE = [
    ("set_state", {"state": "observing", "reason": "odd"}, '{"state": "observing"}'),
    ("set_state", {"state": "panic", "reason": "odd"}, "!state: Input should be 'healthy', 'observing', 'warning' or"),
    ("set_state", {"state": "warning"}, "!reason: Field required"),
    ("set_state", {"state": "warning", "reason": "  "}, "!reason: String should have at least 1 character"),
    ("fire_alert", ALERT, '"result": "delivered"'),
    ("fire_alert", {**ALERT, "hypothesis": "a leak"}, '"alert_id": "'),
    ("fire_alert", {**ALERT, "snapshot_ids": []}, "!cite at least one snapshot"),
    (
        "fire_alert",
        {**ALERT, "snapshot_ids": ["f" * 16, "$S", "0" * 16]},
        "!no snapshot has the id " + "f" * 16 + ", 0",
    ),
    ("fire_alert", {**ALERT, "severity": "fatal"}, "!severity: Input should be 'info', 'warning' or 'critical'"),
    ("fire_alert", {**ALERT, "observation": ""}, "!observation: String should have at least 1 character"),
    ("fire_alert", {**ALERT, "observation": "812 orders"}, "!not fired: These numbers are in no snapshot"),
    ("fire_alert", {**ALERT, "cooldown_minutes": 30}, '"result": "delivered"'),
    ("fire_alert", {**ALERT, "cooldown_minutes": 0}, "!cooldown_minutes: Input should be greater than or equal to 1"),
    (
        "fire_alert",
        {**ALERT, "cooldown_minutes": 1441},
        "!cooldown_minutes: Input should be less than or equal to 1440",
    ),
    ("fire_alert", {**ALERT, "confidence": "high"}, "!confidence: Extra inputs are not permitted"),
    ("get_alerts", {}, "[]"),
    ("get_alerts", {"limit": 51}, "!limit: Input should be less than or equal to 50"),
    ("get_alerts", {"limit": -1}, "!limit: Input should be greater than or equal to 1"),
    ("take_snapshot", {}, '"data": {"depth": 1}'),
    ("take_snapshot", {"name": "x"}, "!name: Extra inputs are not permitted"),
    ("get_snapshot", {"id": "$S"}, '"data": {"depth": 1}'),
    ("get_snapshot", {"id": "f" * 16}, "!no snapshot has the id " + "f" * 16 + "; the latest are: "),
    ("get_snapshot", {"id": ""}, "!id: String should have at least 1 character"),
    ("get_snapshots", {}, '{"total": 1, "snapshots": [{"id": "'),
    ("get_snapshots", {"limit": 1, "offset": 5}, '{"total": 1, "snapshots": []}'),
    ("get_snapshots", {"limit": -1}, "!limit: Input should be greater than or equal to 1"),
    ("get_snapshots", {"offset": -1}, "!offset: Input should be greater than or equal to 0"),
    ("get_snapshots", {"limit": 10**9}, "!limit: Input should be less than or equal to 50"),
    ("execute", {"code": "return queue_oldest(1)"}, '{"result": [{"order": 0}]}'),
    ("execute", {"code": "return queue_oldest("}, "!syntax error in line 1: unexpected symbol near <eof>"),
    ("execute", {"code": ""}, "!code: String should have at least 1 character"),
    ("execute", {"code": "-" * 16_001}, "!code: String should have at most 16000 characters"),
    ("execute", {"code": "return queue_flood()"}, "!queue_flood: the result is larger than 1 MB; ask for less"),
    ("execute", {"code": "return string.rep('x', 50*1000*1000)"}, "!memory error: not enough memory"),
    ("execute", {"code": "return queue_thing()"}, "!the result holds a object, which is no JSON value"),
    ("execute", {"code": "return 0/0"}, '{"result": null}'),
    ("wait", {"ms": 999}, "!ms: Value error, at least 1000 (a second) is needed"),
    ("wait", {"ms": -5}, "!ms: Value error, at least 1000 (a second) is needed"),
    ("wait", {"ms": 28_800_001}, "!ms: Value error, at most 28800000 (8 hours) is possible; wait again after that"),
    ("wait", {"ms": "soon"}, "!ms: Input should be a valid integer"),
    ("wait", {"seconds": 5}, "!ms: Field required; seconds: Extra inputs are not permitted"),
    ("wait", {"ms": 1000, "note": "n" * 1001}, "!note: String should have at most 1000 characters"),
    ("think", {"thought": "hm"}, '{"recorded": true}'),
    ("think", {"thought": ""}, "!thought: String should have at least 1 character"),
    ("done", {}, "!there is no tool 'done'; the tools are: execute, fire_alert, get_alerts, get_snapshot"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), TABLE, ids=[f"{row[0]}-{n}" for n, row in enumerate(TABLE)])
def test_a_tool_answers_what_was_asked_or_says_what_is_wrong_with_it(name, arguments, said):
    output, _events, published = answered(tool(name, **arguments))
    refused, text = said.startswith("!"), said.removeprefix("!")
    assert output.is_error == refused
    assert text in output.content
    assert len(output.content) < 21_000
    assert len(published) == (name == "fire_alert" and not refused)


def test_the_table_has_every_tool_of_the_seed():
    class Found:
        kind, domain = "watcher", Rich()

    named = {each.name for each in [*domain_tools(Found(), list), wait_tool(Found())]}
    assert named == {name for name, *_ in TABLE} - {"done"}
    assert len(named) == 9


def test_alerts_are_listed_newest_first_with_the_ids_of_their_snapshots():
    calls = [tool("fire_alert", **{**ALERT, "type": kind}) for kind in ("first", "second")]
    output, _events, published = answered(*calls, tool("get_alerts", limit=1))
    (snapshot,) = published[0].snapshots
    assert '"anomaly_type": "second"' in output.content
    assert f'"snapshot_ids": ["{snapshot.id}"]' in output.content
    assert "first" not in output.content


def test_the_models_cooldown_goes_with_the_alert():
    _output, _events, (alert,) = answered(tool("fire_alert", **{**ALERT, "cooldown_minutes": 30}))
    assert alert.cooldown == 1800.0


def test_snapshots_are_listed_oldest_first_page_by_page():
    output, _events, _published = answered(tool("take_snapshot"), tool("get_snapshots", limit=1, offset=1))
    assert '{"total": 2, "snapshots": [{"id": "' in output.content


class Odd(Queue):
    """Returns what it is told to."""

    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def snapshot(self):
        return self.returned

    def sense(self):
        return {}


_CIRCLE = {}
_CIRCLE["self"] = _CIRCLE


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ({"dump": "x" * 50_000_000}, f"the snapshot is larger than {MOST_SNAPSHOT} characters"),
        ({"dump": ["x"] * 1_000_000}, f"the snapshot is larger than {MOST_SNAPSHOT} characters"),
        ([1, 2], "the domain's snapshot is no object but list"),
        (None, "the domain's snapshot is no object but NoneType"),
        (_CIRCLE, "ValueError: Circular reference detected"),
        ({(1, 2): 3}, "TypeError: keys must be str"),
    ],
    ids=["50 MB of text", "a million values", "a list", "nothing", "a circle", "a strange key"],
)
def test_a_snapshot_that_is_none_is_an_answer_for_the_model(returned, said):
    client = ScriptedClient([tool("take_snapshot"), WAIT])
    with watching(client, Odd(returned)) as (_registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
    output = client.requests[-1].messages[-1].content[0]
    assert output.is_error
    assert said in output.content
