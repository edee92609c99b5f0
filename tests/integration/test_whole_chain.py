"""From a log line to an insight, with the real SDK against a server that plays the model."""

from __future__ import annotations

import logging
import re
import threading

import blinker
import pytest

from beamlens import Beamlens
from tests.support import chat_api
from tests.support.messages_api import MessagesAPI, message, tool_use

log = logging.getLogger("host.payments")


def model(body):
    """Answers watchers and the coordinator by what they were sent."""
    tools = {tool["name"] for tool in body["tools"]}
    said = str(body["messages"])
    ids = re.findall(r'"id": "([0-9a-f]{16})"', said)
    if "produce_insight" in tools:
        return correlate(said, ids)
    if "Active sensors: none" in said or "delivered" in said:
        return message(tool_use("wait", "w1", ms=3_600_000))
    if not ids:
        return message(tool_use("take_snapshot", "s1"), tool_use("execute", "e1", code="return logger_errors(1)"))
    finding = {
        "type": "payment_errors",
        "severity": "warning",
        "context": "Payments are charged.",
        "observation": "Errors are logged.",
        "snapshot_ids": ids[:1],
    }
    return message(tool_use("fire_alert", "f1", **finding))


def correlate(said, ids):
    if "insight_produced" in said:
        return message(tool_use("done", "d1"))
    if not ids:
        return message(tool_use("get_alerts", "g1"))
    insight = {
        "alert_ids": sorted(set(ids)),
        "correlation_type": "symptomatic",
        "summary": "The gateway refuses payments.",
        "confidence": "medium",
    }
    return message(tool_use("produce_insight", "p1", **insight))


def chat_model(body):
    """The same in the words of the Chat Completions API."""
    tools = [tool["function"] for tool in body["tools"]]
    said = [message for message in body["messages"] if message["role"] != "system"]
    blocks = model({"tools": tools, "messages": said}).body["content"]
    calls = [chat_api.call(block["name"], block["id"], **block["input"]) for block in blocks]
    return chat_api.answer(None, *calls, model="gpt-4o-mini")


@pytest.mark.parametrize(
    ("provider", "server", "respond", "name"),
    [
        ("anthropic", MessagesAPI, model, "claude-haiku-4-5-20251001"),
        ("openai", chat_api.ChatServer, chat_model, "gpt-4o-mini"),
    ],
)
def test_a_burst_of_errors_becomes_an_alert_and_an_insight(provider, server, respond, name):
    produced = threading.Event()
    found = {}

    def on_alert(_sender, *, alert, **_metadata):
        found["alert"] = alert

    def on_insight(_sender, *, insight, **_metadata):
        found["insight"] = insight
        produced.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    depths = []

    def on_depth(sender, *, measurements, **_metadata):
        depths.append((sender, measurements["active"]))

    blinker.signal("beamlens.ai.dispatcher.queue_depth").connect(on_depth)
    with server(respond=respond) as api:
        options = {"api_key": "sk-test-key", "base_url": api.base_url, "model": name}
        clients = [{"name": "m", "provider": provider, "options": options}]
        with Beamlens.start(watchers=["logger"], client_registry={"primary": "m", "clients": clients}) as lens:
            for number in range(400):
                log.error("charge %d refused, password=hunter2", number)
                if produced.wait(0.05):
                    break
            assert produced.is_set()
            usage, prompts = lens.usage(), lens.prompts(50)
    assert found["alert"].model == name
    assert found["insight"].alert_ids == (found["alert"].id,)
    assert found["insight"].model == name
    assert ("m", 1) in depths
    assert usage["calls"] >= 5
    assert usage["cost_usd"] > 0
    sent = str(prompts)
    assert "hunter2" not in sent
    assert "[redacted:secret]" in sent
    assert "hunter2" not in str(api.requests)
