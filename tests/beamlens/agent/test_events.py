from __future__ import annotations

import pytest

from beamlens.agent import Tool
from beamlens.agent.events import MessageEnd, ToolExecutionUpdate
from beamlens.agent.phases import IllegalTransition, Phase, Phases
from beamlens.errors import LLMError
from beamlens.llm.client import Message, Text
from beamlens.telemetry.events import catalogue
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import EventStream, StreamEnd
from tests.support.loops import ADD, END, Nothing, Run


def test_a_turn_with_a_tool_and_an_answer_tells_its_events_in_order():
    work = Tool("work", lambda _a, on_update: on_update("half") or "whole", Nothing)
    run = Run(ScriptedClient([tool("work"), "Done."]), [work], until="answer")
    assert run.types() == [
        "agent_start",
        "message_start", "message_end",
        "turn_start",
        "message_start", "message_end",
        "tool_execution_start", "tool_execution_update", "tool_execution_end",
        "message_start", "message_end",
        "turn_end",
        "turn_start",
        "message_start", "message_end",
        "turn_end",
        "agent_end",
    ]  # fmt: skip
    assert run.told[-1].outcome == run.outcome
    assert run.outcome.text == "Done."


def test_every_event_of_a_run_carries_its_run_id_and_its_trace_id():
    run = Run(ScriptedClient([tool("add", value=1), tool("end")]))
    assert {event.run_id for event in run.told} == {run.outcome.run_id}
    assert {event.trace_id for event in run.told} == {run.client.requests[0].trace_id}


def test_user_messages_are_told_on_message_end():
    run = Run(ScriptedClient(["Yes."]), until="answer", opening="Well?")
    assert _ended(run)[0] == Message.user("Well?")


def test_assistant_messages_are_told_on_message_end():
    run = Run(ScriptedClient(["Yes."]), until="answer")
    assert _ended(run)[1] == Message("assistant", (Text("Yes."),))


def test_tool_result_messages_are_told_on_message_end():
    run = Run(ScriptedClient([[tool("add", value=1), tool("add", value=2)], "Done."]), [ADD], until="answer")
    assert [block.content for block in _ended(run)[2].content] == ['{"sum": 2}', '{"sum": 3}']
    assert tuple(_ended(run)) == run.outcome.messages


def _ended(run):
    return [event.message for event in run.told if isinstance(event, MessageEnd)]


def test_the_phases_of_a_run_are_told_in_order():
    run = Run(ScriptedClient([tool("add", value=1), "Done."]), [ADD], until="answer")
    assert [each["to_state"] for each in run.events.of("agent_core.loop.state_transition")] == [
        "initializing",
        "await_model", "normalizing_response", "executing_tools", "awaiting_tool_results",
        "await_model", "normalizing_response", "finalizing",
    ]  # fmt: skip


def test_a_provider_error_passes_its_own_phase():
    error = LLMError("no", kind="invalid_request", retryable=False)
    run = Run(ScriptedClient([error]), until="answer", fallback=False)
    states = [each["to_state"] for each in run.events.of("agent_core.loop.state_transition")]
    assert states[-2:] == ["recovering_provider_error", "finalizing"]
    assert run.types()[-3:] == ["turn_end", "error", "agent_end"]


def test_an_illegal_phase_is_refused():
    phases = Phases(lambda _before, _after: None)
    phases.move(Phase.INITIALIZING)
    with pytest.raises(IllegalTransition, match="initializing cannot be followed by executing_tools"):
        phases.move(Phase.EXECUTING_TOOLS)


def test_the_loop_tells_its_start_its_end_and_each_result():
    run = Run(ScriptedClient([tool("add", value=1), tool("end")]))
    (started,) = run.events.of("agent_core.loop.start")
    (ended,) = run.events.of("agent_core.loop.end")
    assert (started["run_id"], ended["status"]) == (run.outcome.run_id, "end")
    assert [each["tool_name"] for each in run.events.of("agent_core.tool_result.emit")] == ["add", "end"]
    assert {each["trust"] for each in run.events.of("agent_core.tool_result.emit")} == {"trusted"}


def test_a_stream_gets_the_events_and_its_depth_is_told():
    stream = EventStream()
    run = Run(ScriptedClient([tool("add", value=1), tool("end")]), stream=stream)
    stream.complete()
    *heard, end = stream
    assert heard == run.told
    assert isinstance(end, StreamEnd)
    depths = [n for name, _, n, _ in run.events.all if name == "agent_core.event_stream.queue_depth"]
    assert [numbers["max_queue"] for numbers in depths] == [10_000, 10_000]
    assert 0 < depths[0]["depth"] < depths[1]["depth"]


def test_a_full_stream_never_blocks_the_loop_and_counts_what_it_lost():
    stream = EventStream(capacity=3)
    run = Run(ScriptedClient([tool("add", value=1), tool("end")]), stream=stream)
    assert run.outcome.stopped_by == "end"
    assert stream.stats().dropped == len(run.told) - 3


def test_steering_comes_before_the_next_model_call_and_tool_calls_are_made_first():
    said = []

    def steering():
        return [Message.user(said.pop())] if said else []

    client = ScriptedClient([[tool("say"), tool("add", value=1)], "Done."])
    tools = [ADD, Tool("say", lambda _a: said.append("stop that") or "ok", Nothing)]
    run = Run(client, tools, steering=steering, until="answer")
    assert len(run.results()) == 2
    assert client.requests[1].messages[-1].content[-1] == Text("stop that")


def test_follow_ups_go_on_where_an_answer_would_end_the_run():
    waiting = [[Message.user("and then?")], []]
    client = ScriptedClient(["First.", "Second."])
    run = Run(client, until="answer", follow_ups=lambda: waiting.pop(0))
    assert (run.outcome.text, run.outcome.iterations) == ("Second.", 2)
    assert [message.role for message in client.requests[1].messages] == ["user", "assistant", "user"]


def test_in_a_run_that_a_tool_must_end_an_answer_in_words_does_not():
    run = Run(ScriptedClient(["Fine.", tool("end")]), [END])
    assert run.outcome.stopped_by == "end"


def test_the_events_of_a_call_say_whose_words_its_result_is_made_of():
    outside = Tool("outside", lambda _a, on_update: on_update("half") or "whole", Nothing, trust="untrusted")
    broken = Tool("broken", lambda _a: 1 / 0, Nothing, trust="untrusted")
    turn = [tool("add", value=1), tool("outside"), tool("broken"), tool("nope")]
    run = Run(ScriptedClient([turn, tool("end")]), [ADD, END, outside, broken])
    names = ("tool.stop", "tool.exception", "agent_core.tool_task.end", "agent_core.tool_task.error")
    told = {(name, each["tool_name"]): each["trust"] for name in names for each in run.events.of(name)}
    assert told == {
        ("tool.stop", "add"): "trusted",
        ("tool.stop", "end"): "trusted",
        ("tool.stop", "outside"): "untrusted",
        ("tool.stop", "nope"): "trusted",
        ("tool.exception", "broken"): "untrusted",
        ("agent_core.tool_task.end", "add"): "trusted",
        ("agent_core.tool_task.end", "end"): "trusted",
        ("agent_core.tool_task.end", "outside"): "untrusted",
        ("agent_core.tool_task.error", "broken"): "untrusted",
        ("agent_core.tool_task.error", "nope"): "trusted",
    }
    assert [event.trust for event in run.told if isinstance(event, ToolExecutionUpdate)] == ["untrusted"]


def test_every_event_that_holds_a_finding_or_a_result_says_whose_words_it_is_made_of():
    outside = {"alert", "insight", "notification", "result"}
    assert [
        event.name for event in catalogue().values() if outside & set(event.metadata) and "trust" not in event.metadata
    ] == []
