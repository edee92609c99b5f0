from __future__ import annotations

import threading

import blinker
import pytest

from beamlens import Beamlens, Budget, ConfigError
from beamlens.agent import Agent
from beamlens.application import parts
from beamlens.llm.client import Completion, ToolCall, Usage
from beamlens.testing import ScriptedClient
from tests.support.agents import Queue

HAIKU = "claude-haiku-4-5-20251001"


def waiting(_request):
    call = ToolCall("call", "wait", {"ms": 3_600_000})
    return Completion(tool_calls=(call,), usage=Usage(1000, 100), stop_reason="tool_use", model=HAIKU)


def test_a_spent_budget_hands_over_to_the_offline_analyst_and_is_a_signal():
    told = []
    arrived = threading.Event()

    def exhausted(sender, **keywords):
        told.append((sender, keywords["limit"], keywords["measurements"]["bound"]))
        arrived.set()

    blinker.signal("beamlens.budget.exhausted").connect(exhausted)
    client = ScriptedClient([waiting], model=HAIKU, repeat_last=True)
    with Beamlens.start(watchers=["runtime", Queue], client_registry=client, budget=Budget(calls_per_hour=1)) as lens:
        assert arrived.wait(10)
        lens.flush()
        assert lens.usage()["budget"] == {"calls_per_hour": 1}
    assert told == [("budget", "calls_per_hour", 1)]
    assert len(client.requests) == 1


def test_an_agent_of_the_users_own_shares_the_instances_budget():
    client = ScriptedClient(["Yes.", "Never."], model=HAIKU)
    with Beamlens.start(client_registry=client, budget=Budget(calls_per_hour=1)) as lens:
        agent = Agent.start("You help.", core=lens.agent_core, session="s")
        agent.prompt("There?")
        assert agent.wait_for_idle(10).text == "Yes."
        agent.prompt("Still?")
        assert agent.wait_for_idle(10).stopped_by == "budget"
        assert lens.agent_core.registry.main("s") is agent
    agent.join(10)


def test_the_environment_sets_a_budget(monkeypatch):
    monkeypatch.setenv("BEAMLENS_BUDGET_USD_PER_DAY", "2.5")
    with Beamlens.start() as lens:
        assert lens.usage()["budget"] == {"usd_per_day": 0.0}
    with Beamlens.start(budget=Budget(tokens_per_hour=5)) as lens:
        assert lens.usage()["budget"] == {"tokens_per_hour": 0.0}
    monkeypatch.delenv("BEAMLENS_BUDGET_USD_PER_DAY")
    with Beamlens.start() as lens:
        assert lens.usage()["budget"] == {}


@pytest.mark.parametrize("bad", ["much", "-1", "nan"])
def test_a_budget_in_the_environment_that_is_no_number_is_refused(monkeypatch, bad):
    monkeypatch.setenv("BEAMLENS_BUDGET_USD_PER_DAY", bad)
    with pytest.raises(ConfigError, match="BEAMLENS_BUDGET_USD_PER_DAY"):
        Beamlens.start()


def test_a_budget_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="budget must be a Budget or None"):
        Beamlens.start(budget=5)


def test_the_supervisors_of_agents_are_in_the_tree():
    with Beamlens.start() as lens:
        names = [child.id for child in lens._root.which_children()]
    assert {"AgentRegistry", "SubagentSupervisor", "TaskSupervisor"} <= set(names)


def spend_all(**options):
    client = ScriptedClient(["Yes."], model=HAIKU, repeat_last=True)
    with Beamlens.start(client_registry=client, budget=Budget(calls_per_hour=1), **options) as lens:
        agent = Agent.start("You help.", core=lens.agent_core, session="s")
        agent.prompt("There?")
        ended = agent.wait_for_idle(10).stopped_by
    agent.join(10)
    return ended


def test_a_restart_with_the_same_state_directory_goes_on_with_the_budget(tmp_path, monkeypatch):
    assert spend_all(state_dir=tmp_path / "state") == "answered"
    assert spend_all(state_dir=str(tmp_path / "state")) == "budget"
    monkeypatch.setenv("BEAMLENS_STATE_DIR", str(tmp_path / "state"))
    assert spend_all() == "budget"
    assert spend_all(state_dir=tmp_path / "other") == "answered"


def test_without_a_state_directory_it_is_said_once_that_a_restart_begins_anew(caplog):
    parts._say_in_memory.cache_clear()
    assert [spend_all(), spend_all()] == ["answered", "answered"]
    assert [record.message for record in caplog.records if "kept in memory" in record.message] == [
        "the budget is kept in memory: a restart begins anew; state_dir= or BEAMLENS_STATE_DIR keeps it"
    ]


def test_a_budget_file_that_cannot_be_used_is_told_and_counts_as_spent(tmp_path, caplog):
    told = []

    def unusable(sender, **keywords):
        told.append((sender, keywords["path"], keywords["reason"]))

    blinker.signal("beamlens.budget.file_unusable").connect(unusable)
    path = tmp_path / "budget-beamlens.json"
    path.write_text("?")
    assert spend_all(state_dir=tmp_path) == "budget"
    assert told == [("budget", str(path), "it is not readable (JSONDecodeError)")]
    assert f"remove {path} to begin anew" in caplog.text


@pytest.mark.parametrize("bad", [5, "", b"/tmp", "a\0b", __file__])
def test_a_state_directory_that_cannot_be_one_is_refused_by_name(bad):
    with pytest.raises(ConfigError, match="state_dir"):
        Beamlens.start(state_dir=bad)
