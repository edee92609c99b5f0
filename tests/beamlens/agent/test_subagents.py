from __future__ import annotations

import threading

import pytest

from beamlens.agent import AgentKey, SubagentCoordinator, SubagentSpec, SubagentSupervisor, Tool
from beamlens.errors import ConfigError, LLMError
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Actor, ActorDead, AlreadyRegistered
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildStartError
from tests.support.loops import Nothing, in_background

SECONDS = 10.0


@pytest.fixture
def coordinator(core):
    ref = SubagentCoordinator.start("s", core=core)
    ref.core = core
    yield ref
    if ref.is_alive():
        ref.stop()


def saying(text, **options):
    return SubagentSpec("Go.", client=ScriptedClient([text]), **options)


def hanging(**options):
    client = ScriptedClient([ScriptedClient.HANG])
    return SubagentSpec("Go.", client=client, **options)


def nothing_left(core):
    assert core.services.bus.flush(SECONDS)  # else a spawn may not have been told yet, and its end would be too soon
    core.events.wait_for("agent_core.subagent.end", len(core.events.of("agent_core.subagent.spawn")))
    assert core.registry.agents() == {}
    assert core.subagents().which_children() == []


# -- registry and supervisor -----------------------------------------------------------------------------------


def test_a_subagent_is_registered_supervised_and_told(core):
    subagents = SubagentSupervisor(core)
    key = AgentKey("s", "research", 3)
    ref = subagents.start(key, saying("Found."))
    assert core.registry.lookup(("s", "research", 3)) is ref
    assert subagents.agents() == [ref]
    ref.prompt("Go.")
    assert ref.wait_for_idle(SECONDS).text == "Found."
    assert subagents.stop(key)
    assert not subagents.stop(key)
    (spawned,) = core.events.of("agent_core.subagent.spawn")
    (ended,) = core.events.wait_for("agent_core.subagent.end")
    assert (spawned["session_id"], spawned["role"], spawned["index"]) == ("s", "research", 3)
    assert ended["reason"] == "stopped"
    nothing_left(core)


def test_the_end_of_a_subagent_that_is_killed_is_told_with_its_reason_and_it_is_not_restarted(core):
    subagents = SubagentSupervisor(core)
    ref = subagents.start(AgentKey("s", "research"), saying("Found."))
    ref.kill()
    (ended,) = core.events.wait_for("agent_core.subagent.end")
    assert ended["reason"] == "killed"
    nothing_left(core)


def test_the_end_of_a_subagent_that_crashes_is_told_with_its_reason(core):
    subagents = SubagentSupervisor(core)
    ref = subagents.start(AgentKey("s", "research"), saying("Found."))
    ref._cell.actor._stop_run = lambda _reason: 1 / 0
    ref.abort()
    (ended,) = core.events.wait_for("agent_core.subagent.end")
    assert ended["reason"] == "crashed: ZeroDivisionError: division by zero"


def test_one_of_many_registrations_wins(core):
    subagents = SubagentSupervisor(core)
    started, refused = [], []

    def start():
        try:
            started.append(subagents.start(AgentKey("s", "research"), saying("Found.")))
        except (AlreadyRegistered, ChildStartError):
            refused.append(1)
        return True

    for wait in [in_background(start) for _ in range(8)]:
        assert wait()
    assert (len(started), len(refused)) == (1, 7)
    assert subagents.stop(AgentKey("s", "research"))


def test_agents_can_be_listed_by_session_and_by_role(core):
    subagents = SubagentSupervisor(core)
    keys = [AgentKey("a", "x"), AgentKey("a", "x", 1), AgentKey("a", "y"), AgentKey("b", "x")]
    for key in keys:
        subagents.start(key, saying("Found."))
    assert list(core.registry.agents()) == keys
    assert list(core.registry.agents(session_id="b")) == keys[3:]
    assert list(core.registry.agents(role="y")) == [keys[2]]
    for key in keys:
        subagents.stop(key)


# -- coordinator -----------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_specs(coordinator):
    first = threading.Event()

    def late(_request):
        first.wait(SECONDS)
        return "late"

    def early(_request):
        first.set()
        return "early"

    results = coordinator.run([saying(late), saying(early, role="other"), saying("third")], timeout=SECONDS)
    assert [(result.status, result.text) for result in results] == [
        ("completed", "late"),
        ("completed", "early"),
        ("completed", "third"),
    ]
    assert [tuple(result.key) for result in results] == [("s", "subagent", 0), ("s", "other", 0), ("s", "subagent", 1)]
    assert coordinator.list_active() == []
    nothing_left(coordinator.core)


def test_nothing_to_do_is_done_at_once(coordinator):
    assert coordinator.run([]) == []


def test_a_text_is_the_prompt_of_a_subagent_with_the_coordinators_client(core):
    client = ScriptedClient(["Yes."])
    coordinator = SubagentCoordinator.start("s", client, core=core)
    (result,) = coordinator.run(["There?"], timeout=SECONDS)
    assert (result.text, client.requests[0].messages[0].content[0].text) == ("Yes.", "There?")
    coordinator.stop()


def test_the_failure_of_one_does_not_touch_the_others(coordinator):
    error = LLMError("no", kind="authentication", retryable=False)
    failed, fine = coordinator.run([saying(error), saying("Fine.")], timeout=SECONDS)
    assert (failed.status, failed.error) == ("error", "no")
    assert (fine.status, fine.text) == ("completed", "Fine.")


def test_the_deadline_of_a_batch_cancels_all_that_run(core):
    with FakeClock() as clock:
        coordinator = SubagentCoordinator.start("s", core=core)
        slow = [hanging(), hanging()]
        wait = in_background(lambda: coordinator.run([*slow, saying("Quick.")], timeout=20.0))
        for spec in slow:
            spec.client.wait_for_calls(1)
        core.events.wait_for("agent.run_stopped", stopped_by="answered")
        core.events.wait_for("agent_core.subagent.end")
        clock.wait_for_waiters(1)
        clock.advance(20.0)
        results = wait()
        assert [result.status for result in results] == ["timeout", "timeout", "completed"]
        nothing_left(core)
        core.events.wait_for("agent.run_stopped", 2, stopped_by="aborted")
        coordinator.stop()


def test_when_the_first_has_completed_the_rest_are_cancelled(coordinator):
    slow = [hanging(), hanging()]

    def last(_request):
        for spec in slow:
            spec.client.wait_for_calls(1)
        return "First!"

    results = coordinator.run([*slow, saying(last)], timeout=SECONDS, finish="first")
    assert [result.status for result in results] == ["cancelled", "cancelled", "completed"]
    nothing_left(coordinator.core)
    coordinator.core.events.wait_for("agent.run_stopped", 2, stopped_by="aborted")


def test_one_that_fails_is_not_the_first(coordinator):
    error = LLMError("no", kind="authentication", retryable=False)

    def later(_request):
        coordinator.core.events.wait_for("agent_core.subagent.end", 1)
        return "Fine."

    results = coordinator.run([saying(error), saying(later)], timeout=SECONDS, finish="first")
    assert [result.status for result in results] == ["error", "completed"]


def test_abort_all_cancels_every_batch(coordinator):
    specs = [hanging(), hanging()]
    waits = [in_background(lambda spec=spec: coordinator.run([spec], timeout=SECONDS)) for spec in specs]
    for spec in specs:
        spec.client.wait_for_calls(1)
    assert len(coordinator.list_active()) == 2
    coordinator.abort_all()
    assert [wait()[0].status for wait in waits] == ["aborted", "aborted"]
    nothing_left(coordinator.core)
    coordinator.stop()
    coordinator.abort_all()


def test_concurrent_callers_do_not_block_each_other(coordinator):
    slow = hanging()
    wait = in_background(lambda: coordinator.run([slow], timeout=SECONDS))
    slow.client.wait_for_calls(1)
    (quick,) = coordinator.run([saying("Quick.")], timeout=SECONDS)
    assert quick.text == "Quick."
    assert wait.alive()
    coordinator.abort_all()
    wait()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_coordinator_that_ends_takes_its_subagents_along(coordinator, how):
    slow = hanging()
    failed = []

    def run():
        try:
            coordinator.run([slow], timeout=SECONDS)
        except ActorDead as error:
            failed.append(error)
        return True

    wait = in_background(run)
    slow.client.wait_for_calls(1)
    getattr(coordinator, how)()
    assert wait()
    assert "its subagents were cancelled" in str(failed[0])
    nothing_left(coordinator.core)
    coordinator.core.events.wait_for("agent.run_stopped", stopped_by="aborted")


def test_a_caller_that_ends_takes_its_batch_along(coordinator):
    slow = hanging()

    class Caller(Actor):
        def on_receive(self, _message):
            coordinator.run([slow], timeout=SECONDS)

    caller = Caller.start()
    caller.tell("go")
    slow.client.wait_for_calls(1)
    caller.kill()
    nothing_left(coordinator.core)


def test_a_subagent_that_dies_is_an_error_with_the_reason(coordinator):
    slow = hanging()
    wait = in_background(lambda: coordinator.run([slow], timeout=SECONDS))
    slow.client.wait_for_calls(1)
    coordinator.core.registry.lookup(("s", "subagent", 0)).kill()
    (result,) = wait()
    assert (result.status, result.error) == ("error", "the subagent ended: killed")


def test_a_subagent_that_ignores_everything_holds_up_nobody(coordinator):
    begun, never = threading.Event(), threading.Event()
    deaf = SubagentSpec(
        "Go.",
        client=ScriptedClient([tool("hang")]),
        tools=[Tool("hang", lambda _a: begun.set() or never.wait(30), Nothing)],
    )
    wait = in_background(lambda: coordinator.run([deaf], timeout=SECONDS))
    begun.wait(SECONDS)
    coordinator.abort_all()
    assert wait()[0].status == "aborted"
    never.set()


@pytest.mark.parametrize(
    "bad",
    [{"specs": [5]}, {"specs": [""]}, {"timeout": 0}, {"timeout": "long"}, {"finish": "some"}],
)
def test_what_cannot_be_run_is_refused_by_name(coordinator, bad):
    options = {"specs": [], **bad}
    with pytest.raises(ConfigError, match=next(iter(bad)).rstrip("s")):
        coordinator.run(options.pop("specs"), **options)
    assert coordinator.is_alive()
