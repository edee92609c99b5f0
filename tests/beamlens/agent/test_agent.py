from __future__ import annotations

import queue
import threading

import pytest

from beamlens.agent import Agent, AlreadyRunning, CannotContinue, Limits, Tool
from beamlens.agent.events import AgentEnd, MessageEnd
from beamlens.agent.subscribers import SessionEvent
from beamlens.agent.transcript import Transcript
from beamlens.errors import ConfigError, LLMError
from beamlens.llm.client import Message, Text, ToolCall
from beamlens.llm.composites import Fallback, RoundRobin
from beamlens.llm.dispatcher import Dispatched, Dispatcher
from beamlens.telemetry import signal
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Actor, ActorDead, AlreadyRegistered, EventStream
from beamlens_actors.testing import Probe
from tests.support.loops import ADD, Nothing

SECONDS = 10.0


def start(core, script, tools=(ADD,), **options):
    client = script if isinstance(script, ScriptedClient) else ScriptedClient(script)
    agent = Agent.start("You help.", tools, client, core=core, **{"session": "s", **options})
    agent.client = client
    return agent


class Gate:
    """A model that answers when it is let."""

    def __init__(self, answer="Done."):
        self.open = threading.Event()
        self.asked = threading.Event()
        self._answer = answer

    def __call__(self, _request):
        self.asked.set()
        self.open.wait(SECONDS)
        return self._answer


def test_an_agent_answers_a_prompt_with_tools_and_keeps_the_conversation(core):
    agent = start(core, [tool("add", value=1), "It is two.", "You are welcome."])
    run_id = agent.prompt("1 + 1?")
    outcome = agent.wait_for_idle(SECONDS)
    assert (outcome.stopped_by, outcome.text, outcome.run_id) == ("answered", "It is two.", run_id)
    agent.prompt("Thanks.")
    agent.wait_for_idle(SECONDS)
    state = agent.state()
    assert [message.role for message in state.messages] == ["user", "assistant"] * 3
    assert agent.client.requests[-1].messages == state.messages[:-1]
    assert not state.running
    agent.stop()


def test_state_is_answered_at_once_while_the_model_is_asked(core):
    gate = Gate()
    agent = start(core, [gate])
    agent.prompt("Go.")
    gate.asked.wait(SECONDS)
    state = agent.state()
    assert (state.running, state.outcome, len(state.messages)) == (True, None, 1)
    with pytest.raises(AlreadyRunning):
        agent.prompt("And?")
    with pytest.raises(AlreadyRunning):
        agent.continue_()
    with pytest.raises(TimeoutError):
        agent.wait_for_idle(0.01)
    gate.open.set()
    agent.wait_for_idle(SECONDS)
    agent.stop()


def test_pending_tool_calls_are_in_the_state(core):
    begun, go = threading.Event(), threading.Event()
    agent = start(core, [tool("hang"), "Done."], [Tool("hang", lambda _a: begun.set() or go.wait(SECONDS), Nothing)])
    agent.prompt("Go.")
    begun.wait(SECONDS)
    assert len(agent.state().pending_tool_calls) == 1
    go.set()
    agent.wait_for_idle(SECONDS)
    assert agent.state().pending_tool_calls == frozenset()
    agent.stop()


def test_steering_is_read_before_the_next_model_call(core):
    gate = Gate(tool("add", value=1))
    agent = start(core, [gate, "Stopped."])
    agent.prompt("Go.")
    gate.asked.wait(SECONDS)
    agent.steer("Stop that.")
    assert agent.state().steering == 1
    gate.open.set()
    agent.wait_for_idle(SECONDS)
    assert agent.client.requests[1].messages[-1].content[-1] == Text("Stop that.")
    agent.stop()


def test_follow_ups_are_read_one_at_a_time_once_it_has_answered(core):
    gate = Gate("First.")
    agent = start(core, [gate, "Second.", "Third."])
    agent.prompt("Go.")
    gate.asked.wait(SECONDS)
    agent.follow_up("And then?")
    agent.follow_up("And after that?")
    assert agent.state().follow_ups == 2
    gate.open.set()
    assert agent.wait_for_idle(SECONDS).text == "Third."
    agent.stop()


def test_a_follow_up_that_comes_after_the_last_look_begins_a_run_of_its_own(core):
    agent = start(core, ["First.", "Second."])
    talk = agent._conversation()
    once = iter([True])

    def pull(queue, run_id, real=talk.pull):
        waiting = real(queue, run_id)
        if queue == "follow_ups" and next(once, False):
            talk.follow_up(Message.user("And?"))  # just after the run looked for the last time
        return waiting

    talk.pull = pull
    agent.prompt("Go.")
    assert agent.wait_for_idle(SECONDS).text == "Second."
    assert agent.client.requests[1].messages[-1] == Message.user("And?")
    agent.stop()


def test_abort_ends_a_run_and_keeps_what_is_queued(core):
    agent = start(core, [ScriptedClient.HANG, "Again."])
    agent.prompt("Go.")
    agent.client.wait_for_calls(1)
    agent.follow_up("Later.")
    agent.abort("enough")
    assert agent.wait_for_idle(SECONDS).stopped_by == "aborted"
    assert agent.state().follow_ups == 1
    agent.abort()  # without a run: nothing
    agent.prompt("Go on.")
    agent.wait_for_idle(SECONDS)
    assert not agent.state().running
    agent.stop()


def test_a_run_goes_on_where_it_was_cut_off(core):
    agent = start(core, [ScriptedClient.HANG, "Done."])
    with pytest.raises(CannotContinue):
        agent.continue_()
    agent.prompt("Go.")
    agent.client.wait_for_calls(1)
    agent.abort()
    agent.wait_for_idle(SECONDS)
    agent.continue_()
    assert agent.wait_for_idle(SECONDS).text == "Done."
    with pytest.raises(CannotContinue):
        agent.continue_()
    agent.stop()


def test_calls_that_were_left_without_result_are_answered_before_it_goes_on(core):
    cut_off = [Message.user("1 + 1?"), Message("assistant", (ToolCall("1", "add", {"value": 1}),))]
    agent = start(core, ["Two."], messages=cut_off)
    agent.continue_()
    assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    Transcript(agent.state().messages).check()
    agent.stop()


def test_a_run_whose_task_is_killed_has_an_end_and_the_agent_is_usable(core):
    gate, begun = threading.Event(), threading.Event()
    agent = start(core, [tool("hang"), "Fine."], [Tool("hang", lambda _a: begun.set() or gate.wait(SECONDS), Nothing)])
    heard = agent.subscribe()
    agent.prompt("Go.")
    begun.wait(SECONDS)
    (run,) = [c.ref for c in core.services.loop_tasks().which_children() if c.ref.name.endswith(":run")]
    run.kill()
    outcome = agent.wait_for_idle(SECONDS)
    gate.set()
    assert outcome.stopped_by == "crashed"
    assert "killed" in agent.state().error.lower()
    agent.prompt("And now?")
    assert agent.wait_for_idle(SECONDS).text == "Fine."
    Transcript(agent.state().messages).check()
    agent.stop()
    types = [each.event.type for each in heard.stream if isinstance(each, SessionEvent)]
    assert types.count("agent_end") == 2
    assert types[types.index("agent_end") - 1] == "error"


def test_an_error_of_the_provider_is_in_the_state_and_gone_with_the_next_run(core):
    agent = start(core, [LLMError("no", kind="authentication", retryable=False), "Yes."])
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    assert agent.state().error == "no"
    agent.continue_()
    agent.wait_for_idle(SECONDS)
    assert agent.state().error == ""
    agent.stop()


def test_calls_an_hour_are_counted_over_all_runs(core):
    agent = start(core, ["One.", "Two."], limits=Limits(calls_per_hour=1))
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    agent.prompt("Go.")
    assert agent.wait_for_idle(SECONDS).stopped_by == "calls_per_hour"
    agent.stop()


def test_an_agent_without_a_client_says_so(core):
    agent = Agent.start("You help.", core=core)
    agent.prompt("Go.")
    outcome = agent.wait_for_idle(SECONDS)
    assert (outcome.stopped_by, "has no client" in outcome.error) == ("llm_error", True)
    agent.stop()


@pytest.mark.parametrize("said", ["", " \n", None, 5, [], [5], ["fine", ""], Message("assistant", (Text("I said"),))])
def test_what_is_no_prompt_is_refused(core, said):
    agent = start(core, [])
    with pytest.raises((ConfigError, TypeError)):
        agent.prompt(said)
    agent.stop()


def test_tools_of_one_name_are_refused(core):
    with pytest.raises(ConfigError, match="two tools are named add"):
        start(core, [], [ADD, ADD])


def test_an_agent_that_is_started_on_greenlets_runs_its_tools_on_threads_and_parks_nobody_else(core):
    gate = Gate("Yes.")

    class Host(Actor):
        def on_receive(self, message):
            if message == "ping":
                return "pong"
            self.agent = start(core, [gate])
            self.agent.prompt("There?")
            return self.agent

    host = Host.options(backend="greenlets").start()
    other = Host.options(backend="greenlets").start()
    agent = host.ask("go", timeout=SECONDS)
    assert gate.asked.wait(SECONDS)
    assert other.ask("ping", timeout=SECONDS) == "pong"
    assert agent.state().running
    gate.open.set()
    assert agent.wait_for_idle(SECONDS).text == "Yes."
    for ref in (agent, host, other):
        ref.stop()


def test_what_is_no_tool_is_refused(core):
    with pytest.raises(ConfigError, match="a tool is a Tool, not 'add'"):
        start(core, [], ["add"])


def test_a_callback_that_raises_does_not_touch_the_agent(core, monkeypatch):
    agent = start(core, ["One.", "Two."], on_run_end=lambda _outcome: 1 / 0)
    logged = queue.SimpleQueue()
    monkeypatch.setattr("beamlens.agent.actor.logger.exception", lambda text, *args: logged.put(text % args))
    for _ in range(2):
        agent.prompt("Go.")
        assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    # It is called after the run, so maybe after who waits for that has gone on.
    assert [logged.get(timeout=SECONDS) for _ in range(2)] == [f"on_run_end of {agent.name} failed"] * 2
    agent.stop()


# -- events ----------------------------------------------------------------------------------------------------


def test_events_reach_all_subscribers_in_order_as_session_events(core):
    agent = start(core, [tool("add", value=1), "Two."])
    probes = [Probe.start() for _ in range(3)]
    for probe in probes:
        agent.subscribe(probe)
    stream = agent.subscribe().stream
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    agent.stop()
    heard = [each for each in stream if isinstance(each, SessionEvent)]
    assert {each.session_id for each in heard} == {"s"}
    assert (heard[0].event.type, heard[-1].event.type) == ("agent_start", "agent_end")
    for probe in probes:
        assert [probe.expect(SessionEvent) for _ in heard] == heard
        probe.expect_nothing()
        probe.stop()


class Slow(Actor):
    """Handles one event, and no other until it is let."""

    def __init__(self, begun, go, heard):
        super().__init__()
        self._begun, self._go, self._heard = begun, go, heard

    def on_receive(self, message):
        self._heard.append(message)
        self._begun.release()
        self._go.wait(SECONDS)


def test_a_slow_subscriber_blocks_nobody_and_loses_by_its_own_policy(core):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    slow = Slow.start(begun, go, heard)
    agent = start(core, [tool("add", value=1), "Two."])
    subscription = agent.subscribe(slow, capacity=2)
    quick = Probe.start()
    agent.subscribe(quick)
    agent.prompt("Go.")
    assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    assert begun.acquire(timeout=SECONDS)
    assert agent.state().messages[-1].content == (Text("Two."),)
    while quick.expect(SessionEvent).event.type != "agent_end":
        pass
    lost = subscription.dropped
    assert lost > 0
    assert slow.mailbox_stats().size <= 1
    go.set()
    for _ in range(2):
        assert begun.acquire(timeout=SECONDS)
    agent.stop()
    assert [each.event.type for each in heard[:3]] == ["agent_start", "turn_end", "agent_end"]
    assert heard[2].dropped == lost
    slow.stop()
    quick.stop()


def test_a_slow_subscriber_may_be_disconnected(core):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    slow = Slow.start(begun, go, heard)
    agent = start(core, ["One."])
    agent.subscribe(slow, capacity=1, overflow="disconnect")
    stream = agent.subscribe(capacity=1, overflow="disconnect").stream
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    assert agent.state().subscribers == 0
    assert stream.end.reason == "too slow"
    go.set()
    agent.stop()
    slow.stop()


def test_dead_subscribers_are_cleaned_up(core):
    agent = start(core, ["One."])
    probe, other = Probe.start(), Probe.start()
    agent.subscribe(probe)
    agent.subscribe(other)
    stream = EventStream()
    agent.subscribe(stream)
    assert agent.state().subscribers == 3
    probe.stop()
    stream.cancel()
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    assert agent.state().subscribers == 1
    agent.subscribe(probe)
    assert agent.state().subscribers == 1
    agent.stop()
    other.stop()


def test_a_subscription_can_be_cancelled(core):
    agent = start(core, ["One."])
    probe = Probe.start()
    agent.subscribe(probe).cancel()
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    probe.expect_nothing()
    agent.stop()
    probe.stop()


def test_what_cannot_subscribe_is_refused_and_the_agent_lives(core):
    agent = start(core, [])
    for bad in [{"subscriber": 5}, {"capacity": 0}, {"overflow": "wait"}, {"block_timeout": 0}]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            agent.subscribe(**bad)
    assert agent.is_alive()
    agent.stop()


def test_an_agent_that_ends_ends_its_run_which_still_tells_its_end(core):
    agent = start(core, [ScriptedClient.HANG])
    stream = agent.subscribe().stream
    agent.prompt("Go.")
    agent.client.wait_for_calls(1)
    agent.kill()
    heard = [each.event for each in stream if isinstance(each, SessionEvent)]
    assert isinstance(heard[-1], AgentEnd)
    assert heard[-1].outcome.stopped_by == "aborted"
    with pytest.raises(ActorDead):
        agent.state()


def test_who_waits_for_an_agent_that_ends_is_told(core):
    agent = start(core, [ScriptedClient.HANG])
    agent.prompt("Go.")
    agent.client.wait_for_calls(1)
    failed = []

    def wait():
        try:
            agent.wait_for_idle(SECONDS)
        except ActorDead as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    agent.stop()
    thread.join(SECONDS)
    assert failed


# -- registry --------------------------------------------------------------------------------------------------


def test_the_main_agent_of_a_session_is_in_the_registry_until_it_ends(core):
    agent = start(core, [])
    assert core.registry.lookup(("s", "main", 0)) is agent
    assert core.registry.main("s") is agent
    with pytest.raises(AlreadyRegistered):
        start(core, [])
    agent.kill()
    agent.join(SECONDS)
    assert core.registry.lookup(("s", "main", 0)) is None


@pytest.mark.parametrize(
    "key", [("s",), ("s", "main", -1), ("", "main", 0), ("s", "main", "0"), 5, ("s", "main", True)]
)
def test_a_key_that_is_none_is_refused(core, key):
    probe = Probe.start()
    with pytest.raises(ConfigError, match=r"\(session_id, role, index\)"):
        core.registry.register(key, probe)
    probe.stop()


def test_agents_are_independent_and_their_events_are_of_their_session(core):
    one = start(core, ["One."], session="one")
    two = start(core, ["Two."], session="two")
    stream = two.subscribe().stream
    one.prompt("Go.")
    two.prompt("Go.")
    one.wait_for_idle(SECONDS)
    two.wait_for_idle(SECONDS)
    one.kill()
    assert two.state().messages[-1].content == (Text("Two."),)
    two.stop()
    assert {each.session_id for each in stream if isinstance(each, SessionEvent)} == {"two"}


def test_messages_are_heard_on_message_end_by_subscribers(core):
    agent = start(core, [tool("add", value=1), "Two."])
    stream = agent.subscribe().stream
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    kept = agent.state().messages
    agent.stop()
    heard = [each.event.message for each in stream if isinstance(getattr(each, "event", None), MessageEnd)]
    assert tuple(heard) == kept


@pytest.mark.parametrize("kind", ["actor", "stream"])
def test_a_subscriber_that_may_block_loses_nothing_and_the_agent_answers_meanwhile(core, kind):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    agent = start(core, [tool("add", value=1), "Two."])
    slow = Slow.start(begun, go, heard) if kind == "actor" else None
    subscription = agent.subscribe(slow, capacity=1, overflow="block", block_timeout=SECONDS)
    agent.prompt("Go.")
    if slow is not None:
        assert begun.acquire(timeout=SECONDS)
    with pytest.raises(TimeoutError):
        agent.wait_for_idle(0.05)
    assert agent.state().running
    if slow is None:
        for each in subscription.stream:
            heard.append(each)
            if each.event.type == "agent_end":
                break
    go.set()
    assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    while len(heard) < 2 or heard[-1].event.type != "agent_end":
        assert begun.acquire(timeout=SECONDS)
    types = [each.event.type for each in heard if not each.event.lossy]
    assert (types[0], types[-1], types.count("turn_end"), types.count("message_end")) == (
        "agent_start", "agent_end", 2, 4,
    )  # fmt: skip
    assert subscription.dropped == 0
    agent.stop()
    if slow is not None:
        slow.stop()


def test_a_run_does_not_wait_again_for_one_that_let_its_time_pass(core):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    slow = Slow.start(begun, go, heard)
    agent = start(core, [tool("add", value=1), "Two."])
    subscription = agent.subscribe(slow, capacity=1, overflow="block", block_timeout=0.05)
    agent.prompt("Go.")
    assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    assert subscription.dropped > 0
    go.set()
    agent.stop()
    slow.stop()


@pytest.mark.parametrize("end", ["kill", "cancel"])
def test_a_run_goes_on_at_once_when_the_subscriber_it_waits_for_is_gone(core, end):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    slow = Slow.start(begun, go, heard)
    agent = start(core, ["Two."])
    subscription = agent.subscribe(slow, capacity=1, overflow="block", block_timeout=600)
    agent.prompt("Go.")
    assert begun.acquire(timeout=SECONDS)
    if end == "kill":
        slow.kill()
    else:
        subscription.cancel()
    assert agent.wait_for_idle(SECONDS).stopped_by == "answered"
    go.set()
    agent.stop()
    slow.stop()


def test_an_agent_that_is_stopped_waits_for_no_subscriber(core):
    begun, go, heard = threading.Semaphore(0), threading.Event(), []
    slow = Slow.start(begun, go, heard)
    agent = start(core, ["Two."])
    agent.subscribe(slow, capacity=1, overflow="block", block_timeout=600)
    agent.prompt("Go.")
    assert begun.acquire(timeout=SECONDS)
    agent.stop(timeout=SECONDS)
    assert not agent.is_alive()
    go.set()
    slow.stop()


class Mute(Exception):
    def __str__(self):
        raise ValueError


class Broken:
    """A client that fails with an exception that has no text."""

    model = "broken"

    def __init__(self, error):
        self.error = error

    def complete(self, _request, *, abort):
        raise self.error


class Late(TimeoutError):
    __str__ = Mute.__str__


@pytest.mark.parametrize(
    ("error", "stopped_by", "text"),
    [
        (Mute(), "llm_error", "Mute: <no text: __str__ failed>"),
        (Late(), "call_timeout", "no answer: <no text: __str__ failed>"),
    ],
)
def test_an_exception_of_a_client_that_has_no_text_is_a_failed_call(core, error, stopped_by, text):
    agent = Agent.start("You help.", [], Broken(error), core=core, session="s")
    agent.prompt("Go.")
    outcome = agent.wait_for_idle(SECONDS)
    assert (outcome.stopped_by, outcome.error) == (stopped_by, text)
    agent.stop()


def told(core, client):
    heard = []

    def receive(_sender, **said):
        heard.append(said["provider"])

    signal("ai.dispatcher.queue_depth").connect(receive)
    agent = Agent.start("You help.", [], client, core=core, session="s")
    agent.prompt("Go.")
    agent.wait_for_idle(SECONDS)
    agent.stop()
    core.services.bus.flush(SECONDS)
    return set(heard)


def test_a_dispatched_client_that_an_agent_was_given_tells_its_events(core):
    assert told(core, Dispatched(ScriptedClient(["Done."]), Dispatcher("main"))) == {"main"}


def test_so_does_one_within_another(core):
    inner = Dispatched(ScriptedClient(["Done."]), Dispatcher("inner"))
    assert told(core, Fallback("both", {"a": RoundRobin([inner])})) == {"inner"}


def test_a_report_of_the_users_own_stays(core):
    own = []
    dispatcher = Dispatcher("main", report=lambda name, *_about: own.append(name))
    assert told(core, Dispatched(ScriptedClient(["Done."]), dispatcher)) == set()
    assert "ai.dispatcher.queue_depth" in own
