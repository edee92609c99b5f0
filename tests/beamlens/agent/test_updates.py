"""An answer as it comes: who hears it, what is told of it, and what becomes of one that breaks off."""

from __future__ import annotations

import threading

import pytest

from beamlens.agent import Agent, AgentLoop, Limits, MessageEnd, MessageStart, MessageUpdate, run_agent
from beamlens.errors import LLMError
from beamlens.llm.anthropic import AnthropicAPI
from beamlens.llm.client import Completion, Message, Text, ToolCall
from beamlens.llm.deltas import Delta
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens.testing import ScriptedClient, streamed, tool
from beamlens_actors import AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.agents import services
from tests.support.loops import ADD, Run, in_background
from tests.support.messages_api import MessagesAPI, message, text, tool_use
from tests.support.messages_api import streamed as sse
from tests.support.sse import Trouble

SECONDS = 10.0
CUT = LLMError("cut", kind="connection", retryable=True)
GONE = LLMError("gone", kind="response", retryable=False)


def updates(told):
    return [event for event in told if isinstance(event, MessageUpdate)]


def answers(told):
    """What was told of the model's messages: where they begin, their pieces, their ends."""
    found = []
    speaking = False
    for event in told:
        if isinstance(event, MessageStart):
            speaking = event.role == "assistant"
            if speaking:
                found.append(("start", event.again))
        elif isinstance(event, MessageUpdate):
            found.append(event.delta.text)
        elif isinstance(event, MessageEnd) and speaking:
            found.append(("end", event.message.content, event.error))
    return found


def test_an_answer_is_told_piece_by_piece_between_its_start_and_its_end():
    run = Run(ScriptedClient([streamed("It ", "is ", "fine.")]), until="answer")
    assert answers(run.told) == [("start", False), "It ", "is ", "fine.", ("end", (Text("It is fine."),), "")]


def test_each_update_has_what_is_new_and_the_message_so_far():
    look = ToolCall("c", "add", {"value": 1})
    run = Run(ScriptedClient([streamed("So ", "be it.", look), "Done."]), [ADD], until="answer")
    first, second, third = updates(run.told)
    assert [each.text for each in (first, second, third)] == ["So ", "be it.", ""]
    assert first.partial == Message("assistant", (Text("So "),))
    assert second.partial == Message("assistant", (Text("So be it."),))
    assert third.delta == Delta("tool_call", '{"value": 1}', 0, "c", "add")
    assert third.partial == Message("assistant", (Text("So be it."), ToolCall("c", "add", '{"value": 1}')))


class Thinking(ScriptedClient):
    def complete(self, request, *, abort, on_delta):
        for piece in ("Hm", ", so."):
            on_delta(Delta("thinking", piece))
        return super().complete(request, abort=abort)


def test_thoughts_are_told_and_are_in_no_message():
    run = Run(Thinking(["Yes."]), until="answer")
    assert [(each.text, each.thoughts, each.partial.content) for each in updates(run.told)] == [
        ("", "Hm", ()),
        ("", "Hm, so.", ()),
    ]
    assert run.outcome.messages[-1] == Message("assistant", (Text("Yes."),))


def test_an_answer_that_breaks_off_ends_with_its_words_and_without_its_calls():
    client = ScriptedClient([streamed("It ", tool("add", value=1), GONE)])
    run = Run(client, until="answer", fallback=False)
    assert answers(run.told)[-1] == ("end", (Text("It "),), "gone")
    assert run.outcome.stopped_by == "llm_error"


def test_an_answer_that_is_asked_for_again_begins_again():
    with FakeClock() as clock:
        client = ScriptedClient([streamed("It ", "wa", CUT), streamed("It ", "is.")])
        wait = in_background(lambda: Run(client, until="answer", fallback=False))
        clock.wait_for_waiters(within=1.0)
        clock.advance(1.0)
        run = wait()
    whole = ("end", (Text("It is."),), "")
    assert answers(run.told) == [("start", False), "It ", "wa", ("start", True), "It ", "is.", whole]
    assert updates(run.told)[-1].partial == Message("assistant", (Text("It is."),))


def test_an_answer_at_once_after_one_that_broke_off_begins_again():
    client = ScriptedClient([streamed("It ", GONE)])
    offline = ScriptedClient(["Offline."], model="offline")
    run = Run(client, until="answer", services={"offline": offline})
    assert answers(run.told) == [("start", False), "It ", ("start", True), ("end", (Text("Offline."),), "")]


def test_when_no_attempt_after_one_that_broke_off_says_anything_its_words_are_the_end():
    with FakeClock() as clock:
        wait = in_background(lambda: Run(ScriptedClient([streamed("It ", CUT), GONE]), until="answer", fallback=False))
        clock.wait_for_waiters(within=1.0)
        clock.advance(1.0)
        run = wait()
    assert answers(run.told) == [("start", False), "It ", ("end", (Text("It "),), "gone")]


class Late(ScriptedClient):
    """Goes on telling the pieces of an answer that was given up."""

    def complete(self, request, *, abort, on_delta=None):
        if not self.requests:
            self.tell = on_delta
            on_delta(Delta("text", "old"))
        else:
            on_delta(Delta("text", "new"))
            self.tell(Delta("text", "late"))
        return super().complete(request, abort=abort)


def test_pieces_of_an_answer_that_was_given_up_do_not_mix_with_the_next():
    with FakeClock() as clock:
        client = Late([CUT, "new"])
        wait = in_background(lambda: Run(client, until="answer", fallback=False))
        clock.wait_for_waiters(within=1.0)
        clock.advance(1.0)
        run = wait()
    client.tell(Delta("text", "later"))
    assert answers(run.told) == [("start", False), "old", ("start", True), "new", ("end", (Text("new"),), "")]


def test_a_summary_of_the_conversation_is_not_told_as_an_answer():
    from beamlens.agent import CompactionPolicy

    talk = [Message(role, (Text(f"{number} " * 50),)) for number in range(6) for role in ("user", "assistant")]
    client = ScriptedClient([streamed("A summary."), streamed("An answer.")])
    run = Run(client, until="answer", history=talk, services={"compaction": CompactionPolicy(100, 2)})
    assert len(client.requests) == 2
    assert [event.text for event in updates(run.told)] == ["An answer."]


class Wanted(ScriptedClient):
    """Notes whether its pieces were wanted."""

    def __init__(self, script):
        super().__init__(script, repeat_last=True)
        self.wanted = []

    def complete(self, request, *, abort, on_delta=None):
        self.wanted.append(on_delta is not None)
        return super().complete(request, abort=abort, on_delta=on_delta)


def ask(agent):
    agent.prompt("Well?")
    return agent.wait_for_idle(SECONDS)


def test_only_who_is_heard_is_asked_for_a_stream(core):
    client = Wanted([streamed("Yes.")])
    agent = Agent.start("s", client=client, core=core)
    ask(agent)
    quiet = agent.subscribe(updates=False)
    ask(agent)
    loud = agent.subscribe()
    ask(agent)
    loud.cancel()
    ask(agent)
    assert client.wanted == [False, False, True, False]
    agent.stop()
    assert not updates(said.event for said in list(quiet.stream)[:-1])
    loud.stream.complete()
    assert [event.text for event in updates(said.event for said in list(loud.stream)[:-1])] == ["Yes."]


def test_a_run_without_an_agent_streams_unless_told_otherwise(core):
    client = Wanted([streamed("Yes.")])
    for wanted in (True, False):
        *heard, _end = run_agent("Well?", client=client, updates=wanted, core=core)
        assert len(updates(heard)) == wanted
    assert client.wanted == [True, False]


def test_a_loop_that_nobody_listens_to_does_not_stream():
    client = Wanted([Completion("Yes.")])
    with services(client) as (made, _events):
        loop = AgentLoop(made, kind="agent", agent="a", system="", tools=[], abort=AbortSignal(), until="answer")
        assert loop.run("Well?").text == "Yes."
    assert client.wanted == [False]


def test_the_state_has_the_words_so_far(core):
    seen = []
    client = ScriptedClient([streamed("It ", "is.", lambda _request: seen.append(agent.state().partial))])
    agent = Agent.start("s", client=client, core=core)
    agent.subscribe()
    ask(agent)
    assert (seen, agent.state().partial) == (["It is."], "")


def test_an_abort_in_mid_stream_keeps_the_words_and_the_agent_goes_on(core):
    client = ScriptedClient([streamed("It ", ScriptedClient.HANG), "And so on."])
    agent = Agent.start("s", client=client, core=core)
    stream = agent.subscribe().stream
    agent.prompt("Well?")
    for said in stream:
        if isinstance(said.event, MessageUpdate):
            agent.abort()
        if said.event.type == "agent_end":
            break
    assert agent.wait_for_idle(SECONDS).stopped_by == "aborted"
    assert agent.state().messages[-1] == Message("assistant", (Text("It "),))
    assert ask(agent).text == "And so on."


def test_an_answer_of_which_nothing_is_left_is_no_message_of_the_conversation(core):
    client = ScriptedClient([streamed(tool("add", value=1), GONE)])
    agent = Agent.start("s", [ADD], client, core=core)
    stream = agent.subscribe().stream
    ask(agent)
    assert agent.state().messages == (Message.user("Well?"),)
    agent.stop()
    ends = [said.event for said in list(stream)[:-1] if isinstance(said.event, MessageEnd)]
    assert (ends[-1].message.content, ends[-1].error) == ((), "gone")


@pytest.fixture
def claude():
    made = []

    def make(server):
        made.append(ProviderClient(AnthropicAPI(api_key="k", base_url=server.base_url), backoff=Backoff(0)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_a_whole_run_over_the_wire_is_told_as_it_comes(core, claude):
    with MessagesAPI(sse(text("I add."), tool_use("add", value=1)), sse(text("It is 2."))) as server:
        stream = run_agent("1 + 1?", client=claude(server), tools=[ADD], core=core)
        *heard, _end = stream
    assert "".join(event.text for event in updates(heard)) == "I add.It is 2."
    assert stream.result(SECONDS).text == "It is 2."
    assert [request["stream"] for request in server.requests] == [True, True]
    assert [event.message for event in heard if isinstance(event, MessageEnd)] == list(stream.result().messages)


def test_an_answer_that_breaks_off_over_the_wire_is_told_anew(claude):
    broken = sse(text("It was all fine."))
    broken.steps[5:] = [Trouble.RESET]
    with FakeClock() as clock, MessagesAPI(broken, sse(text("It is."))) as server:
        client = claude(server)
        wait = in_background(lambda: Run(client, until="answer", fallback=False))
        clock.wait_for_waiters(within=1.0)
        clock.advance(1.0)
        run = wait()
    whole = ("end", (Text("It is."),), "")
    assert answers(run.told) == [("start", False), "It wa", "s all", ("start", True), "It is", ".", whole]


def test_aborting_a_run_closes_its_connection(core, claude):
    reply = sse(text("It is all fine."))
    reply.steps[5:] = [Trouble.SILENCE]
    abort, first = AbortSignal(), threading.Event()
    with MessagesAPI(reply) as server:
        limits = Limits(call_timeout=3600.0)
        stream = run_agent("Well?", client=claude(server), abort=abort, limits=limits, core=core)
        for event in stream:
            if isinstance(event, MessageUpdate) and not first.is_set():
                first.set()
                abort.abort("enough")
        assert reply.left.wait(SECONDS)
        assert stream.result(SECONDS).stopped_by == "aborted"


def test_a_plain_request_is_made_for_who_does_not_listen(core, claude):
    with MessagesAPI(message(text("Yes."))) as server:
        agent = Agent.start("s", client=claude(server), core=core)
        assert ask(agent).text == "Yes."
    assert "stream" not in server.requests[0]
