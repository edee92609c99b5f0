from __future__ import annotations

import threading

import pytest

from beamlens.agent import Limits, Tool, run_agent
from beamlens.errors import BeamlensError, ConfigError
from beamlens.llm.client import Message, Text
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import AbortSignal, StreamCancelledError, StreamEnd, StreamFailed
from beamlens_actors.testing import Probe
from tests.support.loops import ADD, Nothing

SECONDS = 10.0


def test_a_run_gives_its_events_and_its_outcome(core):
    stream = run_agent("1 + 1?", client=ScriptedClient([tool("add", value=1), "Two."]), tools=[ADD], core=core)
    *heard, end = stream
    assert (heard[0].type, heard[-1].type) == ("agent_start", "agent_end")
    assert isinstance(end, StreamEnd)
    assert stream.result().text == "Two."


def test_the_result_is_whole_though_nobody_reads_and_the_stream_is_full(core):
    client = ScriptedClient([tool("add", value=1), "Two."])
    stream = run_agent("1 + 1?", client=client, tools=[ADD], capacity=2, core=core)
    outcome = stream.result(SECONDS)
    assert len(outcome.messages) == 4
    assert stream.stats().dropped > 0


def test_cancelling_the_stream_stops_the_run(core):
    client = ScriptedClient([ScriptedClient.HANG])
    stream = run_agent("Go.", client=client, core=core)
    client.wait_for_calls(1)
    stream.cancel("enough")
    with pytest.raises(StreamCancelledError):
        stream.result(SECONDS)
    (ended,) = core.events.wait_for("agent.run_stopped")
    assert ended["stopped_by"] == "aborted"


def test_a_signal_and_the_end_of_an_owner_stop_the_run(core):
    abort = AbortSignal()
    client = ScriptedClient([ScriptedClient.HANG] * 2)
    stream = run_agent("Go.", client=client, abort=abort, core=core)
    client.wait_for_calls(1)
    abort.abort()
    assert stream.result(SECONDS).stopped_by == "aborted"
    owner = Probe.start()
    run_agent("Go.", client=client, owner=owner, core=core)
    client.wait_for_calls(2)
    owner.stop()
    core.events.wait_for("agent.run_stopped", 2)


def test_a_run_whose_task_is_killed_fails_its_stream_and_asks_no_more(core):
    begun, go = threading.Event(), threading.Event()
    client = ScriptedClient([tool("hang"), "Never."])
    hang = Tool("hang", lambda _a: begun.set() or go.wait(SECONDS), Nothing)
    stream = run_agent("Go.", client=client, tools=[hang], core=core)
    begun.wait(SECONDS)
    (run,) = [c.ref for c in core.services.loop_tasks().which_children() if c.ref.name == "run_agent"]
    run.kill()
    with pytest.raises(StreamFailed, match="task_crashed"):
        stream.result(SECONDS)
    core.events.wait_for("agent.run_stopped", stopped_by="aborted")
    go.set()
    assert len(client.requests) == 1


def test_a_run_goes_on_from_a_history(core):
    client = ScriptedClient(["Yes."])
    history = [Message.user("Hello."), Message("assistant", (Text("Hello."),))]
    run_agent(["Are you", "there?"], client=client, history=history, core=core).result(SECONDS)
    (request,) = client.requests
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.messages[-1].content == (Text("Are you\nthere?"),)


def test_runs_at_the_same_time_do_not_mix(core):
    meet = threading.Barrier(4, timeout=SECONDS)
    clients = [ScriptedClient([lambda _r: (meet.wait() and None) or tool("add", value=1), f"{n}"]) for n in range(4)]
    streams = [run_agent("Go.", client=client, tools=[ADD], core=core) for client in clients]
    outcomes = [stream.result(SECONDS) for stream in streams]
    assert [outcome.text for outcome in outcomes] == ["0", "1", "2", "3"]
    assert len({outcome.run_id for outcome in outcomes}) == 4


def test_what_is_no_prompt_is_refused(core):
    for bad in ([], [5], Message("assistant", (Text("I said"),))):
        with pytest.raises(ConfigError):
            run_agent(bad, core=core)


def test_a_run_that_cannot_start_says_so(core):
    core.services.loop_tasks().stop()
    core.supervisor.stop()
    with pytest.raises(BeamlensError, match="could not be started"):
        run_agent("Go.", core=core)


def test_limits_end_it(core):
    client = ScriptedClient([tool("add", value=1)], repeat_last=True)
    stream = run_agent("Go.", client=client, tools=[ADD], limits=Limits(max_tool_turns=2), core=core)
    assert stream.result(SECONDS).stopped_by == "max_tool_turns"
