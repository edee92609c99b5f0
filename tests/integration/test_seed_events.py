"""Every telemetry event that the documents of the Elixir projects name reaches a receiver."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager

from beamlens import Beamlens
from beamlens.agent import Agent, AgentCore, Dispatcher, DispatchLimits, SubagentCoordinator, SubagentSpec, Tool
from beamlens.errors import LLMError
from beamlens.llm.dispatcher import Dispatched
from beamlens.telemetry import signal
from beamlens.testing import ScriptedClient, tool
from beamlens_actors.testing import FakeClock
from tests.integration.test_whole_chain import model
from tests.support.loops import ADD, Nothing, raise_
from tests.support.messages_api import MessagesAPI, message, text, tool_use

SECONDS = 20.0
WATCHERS = {
    "watcher.started",
    "watcher.state_change",
    "watcher.alert_fired",
    "watcher.iteration_start",
    "coordinator.started",
    "coordinator.alert_received",
    "coordinator.iteration_start",
    "coordinator.insight_produced",
    "coordinator.done",
    "llm.start",
    "llm.stop",
    "compaction.start",
    "compaction.stop",
}
AGENTS = {
    "agent_core.loop.start",
    "agent_core.loop.end",
    "agent_core.tool_task.start",
    "agent_core.tool_task.end",
    "agent_core.tool_task.error",
    "agent_core.tool_result.emit",
    "agent_core.subagent.spawn",
    "agent_core.subagent.end",
    "agent_core.event_stream.queue_depth",
    "ai.dispatcher.queue_depth",
    "ai.dispatcher.rejected",
}


@contextmanager
def receivers(names):
    """Connected to these signals; what is still to come, and an event that is set when there is nothing."""
    missing, all_there = set(names), threading.Event()

    def receiver(name):
        def receive(_sender, **_said):
            missing.discard(name)
            if not missing:
                all_there.set()

        return receive

    connected = {name: receiver(name) for name in names}
    for name, receive in connected.items():
        signal(name).connect(receive)
    try:
        yield missing, all_there
    finally:
        for name, receive in connected.items():
            signal(name).disconnect(receive)


class Model:
    """Says what it watches with first; is asked for a summary without tools."""

    def __init__(self):
        self._began = False

    def __call__(self, body):
        if not body.get("tools"):
            return message(text("All that was said."))
        if not self._began and any(each["name"] == "set_state" for each in body["tools"]):
            self._began = True
            return message(tool_use("set_state", "st1", state="observing", reason="errors"))
        return model(body)


def test_the_events_of_watchers_and_coordinator():
    log = logging.getLogger("host.payments")
    fake = FakeClock()  # waits for sensors and for further alerts pass in a moment
    with receivers(WATCHERS) as (missing, all_there), MessagesAPI(respond=Model()) as server, fake:
        options = {"api_key": "sk-test-key", "base_url": server.base_url}
        registry = {"primary": "m", "clients": [{"name": "m", "provider": "anthropic", "options": options}]}
        with Beamlens.start(
            watchers=["logger"],
            client_registry=registry,
            llm_timeout=3600.0,
            compaction_max_tokens=100,
            compaction_keep_last=1,
        ):
            for number in range(2000):
                log.error("charge %d refused", number)
                if all_there.wait(0.01):
                    break
                fake.advance(0.1)
        assert missing == set()


def test_the_events_of_agents():
    down = LLMError("down", kind="server", retryable=False)
    client = ScriptedClient([[tool("add", value=1), tool("crash")], "Done.", "Found.", down], repeat_last=True)
    dispatched = Dispatched(client, Dispatcher("main", DispatchLimits(failure_threshold=1)))
    crash = Tool("crash", lambda _a: raise_(SystemExit), Nothing)
    with receivers(AGENTS) as (missing, all_there), AgentCore.start("tests") as core:
        agent = Agent.start("s", [ADD, crash], dispatched, core=core)
        agent.subscribe()
        agent.prompt("Go.")
        assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
        coordinator = SubagentCoordinator.start("s", core=core)
        (found,) = coordinator.run([SubagentSpec("Look.", client=dispatched)], timeout=SECONDS)
        assert found.text == "Found."
        for _ in range(2):  # it goes down, and then is not called
            agent.prompt("And now?")
            agent.wait_for_idle(SECONDS)
        all_there.wait(SECONDS)
        assert missing == set()
        coordinator.stop()
