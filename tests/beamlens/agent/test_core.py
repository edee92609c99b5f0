from __future__ import annotations

import threading

from beamlens.agent import Agent, AgentCore, Tool
from beamlens.agent import core as cores
from beamlens.testing import ScriptedClient, tool
from beamlens_supervision import tree
from tests.support.loops import Nothing

SECONDS = 10.0


def names(core):
    return [child.id for child in core.supervisor.which_children()]


def test_the_core_starts_with_registry_subagents_sessions_loop_tasks_and_tool_tasks(core):
    assert names(core) == [
        "AgentRegistry",
        "SubagentSupervisor",
        "SessionSupervisor",
        "LoopTaskSupervisor",
        "ToolTaskSupervisor",
    ]
    assert "LoopTaskSupervisor" in str(tree(core.supervisor))


def test_a_child_that_dies_is_replaced_alone(core):
    before = {child.id: child.ref for child in core.supervisor.which_children()}
    replaced = threading.Event()
    before["ToolTaskSupervisor"].add_exit_callback(lambda _ref, _reason: replaced.set())
    before["ToolTaskSupervisor"].kill()
    replaced.wait(SECONDS)
    after = {child.id: child.ref for child in core.supervisor.which_children()}
    assert after["ToolTaskSupervisor"] is not before["ToolTaskSupervisor"]
    del before["ToolTaskSupervisor"], after["ToolTaskSupervisor"]
    assert after == before
    assert core.services.tool_tasks().is_alive()


def test_the_entries_of_the_registry_survive_its_actor(core):
    agent = Agent.start("You help.", client=ScriptedClient([]), core=core, session="s")
    core.supervisor.child("AgentRegistry").kill()
    assert core.registry.main("s") is agent
    agent.stop()


def test_a_core_can_be_started_again_with_all_it_needs():
    for _ in range(2):
        with AgentCore.start() as core:
            agent = Agent.start("You help.", client=ScriptedClient(["Yes."]), core=core)
            agent.prompt("There?")
            assert agent.wait_for_idle(SECONDS).text == "Yes."
        assert not agent.is_alive() or agent.join(SECONDS)


def test_loops_model_calls_and_tools_run_as_supervised_tasks(core):
    seen = []

    def look(_arguments):
        seen.append([c.ref.name for c in core.services.loop_tasks().which_children()])
        seen.append([c.ref.name for c in core.services.tool_tasks().which_children()])
        return "seen"

    def ask(_request):
        seen.append(sorted(c.ref.name for c in core.services.loop_tasks().which_children()))
        return tool("look")

    agent = Agent.start(
        "You help.", [Tool("look", look, Nothing)], ScriptedClient([ask, "Yes."]), core=core, session="s"
    )
    agent.prompt("Look.")
    agent.wait_for_idle(SECONDS)
    agent.stop()
    assert seen == [["agent:s/main/0:run", "s/main/0:llm"], ["agent:s/main/0:run"], ["s/main/0:look"]]


def test_agents_that_are_given_no_core_share_one():
    agent = Agent.start("You help.", client=ScriptedClient(["Yes."]))
    other = Agent.start("You help.", client=ScriptedClient(["Yes."]))
    assert cores.default_core() is cores.default_core()
    assert len(cores.default_core().registry.agents()) == 2
    agent.prompt("There?")
    assert agent.wait_for_idle(SECONDS).text == "Yes."
    agent.stop()
    other.stop()
    cores.default_core().stop()
