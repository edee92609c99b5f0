from __future__ import annotations

import threading

import pytest

from beamlens.agent import (
    Agent,
    AgentCore,
    AgentEnd,
    HealthSummary,
    Limits,
    Session,
    SessionEvent,
    SessionRef,
    SessionRunning,
    Tool,
    ToolError,
)
from beamlens.agent import core as cores
from beamlens.agent.journal import JournalExists, read_journal
from beamlens.agent.journal import file as journal_file
from beamlens.agent.journal.writer import CLOSE
from beamlens.agent.session_life import MAX_RESTARTS
from beamlens.agent.transcript import Transcript
from beamlens.errors import BeamlensError, ConfigError, LLMError
from beamlens.llm.client import Message, Text, ToolOutput
from beamlens.testing import ScriptedClient, streamed, tool
from beamlens_actors import Actor, ActorDead, Crash
from beamlens_actors.testing import FakeClock, Probe
from tests.support.loops import ADD, Nothing

SECONDS = 10.0


def start(core, script=(), tools=(ADD,), session="s", **options):
    client = script if isinstance(script, ScriptedClient) else ScriptedClient(script)
    ref = core.sessions.start_session("You help.", tools, client, session_id=session, **options)
    ref.client = client
    return ref


def crash(core, ref, session="s"):
    """Have a session crash; the ref of what took its place."""
    back = threading.Event()
    core.sessions.registry.subscribe(lambda event: back.set() if event.kind == "register" else None)
    ref.exit(Crash(RuntimeError("oops")))
    assert back.wait(SECONDS)
    return core.sessions.lookup(session)


def ask(ref, text="Go."):
    ref.prompt(text)
    return ref.wait_for_idle(SECONDS)


def journal_of(ref):
    return read_journal(ref.state().journal.path)


class Hang:
    """A tool that hangs until it is let."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()
        self.runs = 0
        self.tool = Tool("hang", self, Nothing)

    def __call__(self, _arguments):
        self.runs += 1
        self.begun.set()
        self.go.wait(SECONDS)
        return "done"


# -- it is an agent --------------------------------------------------------------------------------------------------


def test_a_session_answers_prompts_and_tells_as_an_agent_does(kept):
    ref = start(kept, [tool("add", value=1), "Two."])
    assert isinstance(ref, SessionRef)
    stream = ref.subscribe().stream
    assert ask(ref).text == "Two."
    state = ref.state()
    assert (state.session_id, state.running, len(state.messages), state.restarts) == ("s", False, 4, 0)
    assert (state.journal.status, state.journal.unwritten) == ("kept", 0)
    assert kept.sessions.stop_session("s")
    assert [each.event.type for each in stream if isinstance(each, SessionEvent)][-1] == "agent_end"


def test_a_session_can_be_steered_and_followed_up(kept):
    begun, go = threading.Event(), threading.Event()

    def first(_request):
        begun.set()
        go.wait(SECONDS)
        return tool("add", value=1)

    ref = start(kept, [first, "Two.", "And three."])
    ref.prompt("Go.")
    begun.wait(SECONDS)
    ref.steer("Quickly.")
    ref.follow_up("And then?")
    assert (ref.state().steering, ref.state().follow_ups, ref.stats().queued) == (1, 1, 2)
    go.set()
    assert ref.wait_for_idle(SECONDS).text == "And three."
    said = [block.text for message in journal_of(ref).messages for block in message.content if isinstance(block, Text)]
    assert said == ["Go.", "Quickly.", "Two.", "And then?", "And three."]


def test_a_session_can_be_aborted_and_goes_on(kept):
    ref = start(kept, [ScriptedClient.HANG, "Done."])
    ref.prompt("Go.")
    ref.client.wait_for_calls(1)
    ref.abort()
    assert ref.wait_for_idle(SECONDS).stopped_by == "aborted"
    ref.continue_()
    assert ref.wait_for_idle(SECONDS).text == "Done."
    assert [run.end.stopped_by for run in journal_of(ref).runs] == ["aborted", "answered"]


def test_state_stats_and_health_are_answered_at_once_while_a_tool_runs(kept):
    hang = Hang()
    ref = start(kept, [tool("hang"), "Done."], [hang.tool])
    ref.prompt("Go.")
    hang.begun.wait(SECONDS)
    assert ref.state().running
    assert (ref.stats().running, ref.stats().messages, ref.health().status) == (True, 2, "healthy")
    hang.go.set()
    ref.wait_for_idle(SECONDS)
    assert (ref.stats().turns, ref.stats().tool_calls, ref.stats().model) == (2, 1, "scripted")


def test_the_door_starts_and_restores_sessions_of_a_core(kept):
    ref = Session.start("You help.", client=ScriptedClient(["Yes."]), session="door", core=kept)
    ask(ref)
    kept.sessions.stop_session(ref)
    again = Session.restore("door", client=ScriptedClient([]), core=kept)
    assert len(again.state().messages) == 2


def test_a_session_without_a_core_runs_on_the_one_that_all_share_in_memory(caplog):
    ref = Session.start("You help.", client=ScriptedClient(["Yes."]), session="shared")
    assert ask(ref).text == "Yes."
    assert ref.state().journal.status == "memory"
    cores.default_core().sessions.stop_session("shared")


# -- names -----------------------------------------------------------------------------------------------------------


def test_sessions_and_their_main_agents_are_in_the_registries_until_they_end(kept):
    ref, other = start(kept), start(kept, session="a")
    assert kept.sessions.registry.lookup("s") is ref
    assert kept.sessions.registry.list_ids() == ["a", "s"]
    assert kept.sessions.list_sessions() == {"a": other, "s": ref}
    assert kept.registry.main("s") is ref
    kept.sessions.stop_session("s")
    assert kept.sessions.registry.lookup("s") is None
    assert kept.sessions.lookup("s") is None
    assert kept.registry.main("s") is None
    assert kept.sessions.list_sessions() == {"a": other}


def test_an_id_that_runs_is_refused_and_the_session_is_given(kept):
    ref = start(kept)
    for attempt in (lambda: start(kept), lambda: kept.sessions.restore("s")):
        with pytest.raises(SessionRunning, match="'s' runs already") as caught:
            attempt()
        assert caught.value.ref is ref


def test_an_id_whose_agent_runs_without_a_session_is_refused(kept):
    agent = Agent.start("You help.", core=kept, session="s")
    with pytest.raises(BeamlensError, match="an agent runs under the key"):
        start(kept)
    agent.stop()
    assert kept.sessions.health_summary().total == 0


def test_an_id_that_has_a_journal_is_refused_with_the_choices(kept):
    start(kept)
    kept.sessions.stop_session("s")
    with pytest.raises(JournalExists, match="restore the session to go on with it, take another id, or delete"):
        start(kept)


@pytest.mark.parametrize("session", ["../../x", "x" * 3000, "a b\n\0", "ü/\\", "\udcff"])
def test_any_text_is_an_id(kept, session):
    ref = start(kept, ["Yes."], session=session)
    assert ask(ref).text == "Yes."
    kept.sessions.stop_session(session)
    assert len(kept.sessions.restore(session, tools=()).state().messages) == 2
    assert [stored.session_id for stored in kept.sessions.stored()] == [session]


@pytest.mark.parametrize("session", ["", 5, b"s", ("s", "main", 0)])
def test_what_is_no_id_is_refused(kept, session):
    for attempt in (lambda: start(kept, session=session), lambda: kept.sessions.restore(session)):
        with pytest.raises(ConfigError, match="a session's id is a text that is not empty"):
            attempt()
    with pytest.raises(ConfigError):
        kept.sessions.registry.register(session, kept.supervisor)


def test_a_core_that_has_ended_starts_no_session(tmp_path):
    with AgentCore.start(state_dir=tmp_path) as core:
        pass
    with pytest.raises(BeamlensError, match="has ended"):
        start(core)
    assert core.sessions.stored() == []


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"restart": "sometimes"}, "restart"),
        ({"queue_mode": "some"}, "queue_mode must be one of one_at_a_time, all"),
        ({"fsync": "often"}, "fsync must be one of always, run, never"),
        ({"tools": [ADD, ADD]}, "two tools are named add"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_leaves_nothing_behind(kept, bad, match):
    with pytest.raises((BeamlensError, ValueError), match=match):
        start(kept, **bad)
    assert kept.sessions.list_sessions() == {}
    assert start(kept).is_alive()


def test_a_session_that_is_not_given_an_id_has_one(kept):
    ref = start(kept, session=None)
    assert len(ref.state().session_id) == 16


# -- stop ------------------------------------------------------------------------------------------------------------


def test_a_session_that_is_stopped_in_a_run_ends_the_run_first_and_lets_go_of_its_journal(kept):
    ref = start(kept, [ScriptedClient.HANG])
    stream = ref.subscribe().stream
    ref.prompt("Go.")
    ref.client.wait_for_calls(1)
    assert kept.sessions.stop_session(ref)
    heard = [each.event for each in stream if isinstance(each, SessionEvent)]
    assert [event.type for event in heard].count("agent_end") == 1
    assert heard[-1].outcome.stopped_by == "aborted"
    assert not ref.is_alive()
    assert kept.sessions.restore("s", tools=()).state().outcome.stopped_by == "aborted"
    kept.events.wait_for("agent_core.session.end", reason="stopped")


def test_a_session_that_does_not_run_cannot_be_stopped(kept):
    ref = start(kept)
    assert [kept.sessions.stop_session(ref), kept.sessions.stop_session(ref), kept.sessions.stop_session("s")] == [
        True,
        False,
        False,
    ]
    assert not kept.sessions.stop_session("never")


def test_a_session_whose_ref_is_stopped_is_not_restarted(kept):
    ref = start(kept, ["Yes."])
    ask(ref)
    stream = ref.subscribe().stream
    ref.stop()
    assert list(stream)[:-1] == []
    assert kept.sessions.list_sessions() == {}
    assert len(kept.sessions.restore("s", tools=()).state().messages) == 2


def test_stopping_the_core_in_a_run_gives_it_its_end_and_lets_go_of_the_journal(tmp_path):
    with AgentCore.start(state_dir=tmp_path) as core:
        ref = start(core, [ScriptedClient.HANG])
        stream = ref.subscribe().stream
        ref.prompt("Go.")
        ref.client.wait_for_calls(1)
    heard = [each.event for each in stream if isinstance(each, SessionEvent)]
    assert [event.type for event in heard].count("agent_end") == 1
    with AgentCore.start(state_dir=tmp_path) as core:
        assert core.sessions.restore("s", tools=()).state().outcome.stopped_by == "aborted"


def test_a_disk_that_hangs_does_not_keep_the_core_from_stopping(tmp_path, monkeypatch):
    core = AgentCore.start(state_dir=tmp_path)
    refs = [start(core, ["Yes."], session=name) for name in "abc"]
    for ref in refs:
        ask(ref)
        ref.follow_up("Later.")
    go = threading.Event()
    monkeypatch.setattr(journal_file, "_sync", lambda _fd: go.wait(SECONDS))
    for ref in refs:
        core.sessions._lives.find(ref)._journal._unsynced = True
    with FakeClock() as clock:
        stopping = threading.Thread(target=core.stop)
        stopping.start()
        clock.wait_for_waiters(1)
        clock.advance(CLOSE)
        stopping.join(SECONDS)
        assert not stopping.is_alive()
    go.set()


# -- crashes ---------------------------------------------------------------------------------------------------------


def test_a_session_that_crashes_comes_back_from_its_journal_with_the_same_messages(kept):
    ref = start(kept, [tool("add", value=1), "Two.", "Welcome."])
    ask(ref)
    before = ref.state()
    again = crash(kept, ref)
    assert again is not ref
    state = again.state()
    assert (state.messages, state.outcome, state.restarts) == (before.messages, before.outcome, 1)
    assert kept.registry.main("s") is again
    assert ask(again, "Thanks.").text == "Welcome."
    assert journal_of(again).messages == again.state().messages
    with pytest.raises(ActorDead):
        ref.state()
    kept.events.wait_for("agent_core.session.restart", session_id="s")


def test_a_session_that_crashes_in_a_run_tells_one_end_and_comes_back_idle_without_running_tools_again(kept):
    hang = Hang()
    ref = start(kept, [tool("hang"), "Fine."], [hang.tool])
    stream = ref.subscribe().stream
    run_id = ref.prompt("Go.")
    hang.begun.wait(SECONDS)
    ref.follow_up("And?")
    assert ref.state().follow_ups == 1
    again = crash(kept, ref)
    state = again.state()
    assert (state.running, state.outcome.stopped_by, state.outcome.run_id) == (False, "crashed", run_id)
    assert "RuntimeError: oops" in state.error
    Transcript(state.messages).check()
    (result,) = state.messages[-1].content
    assert isinstance(result, ToolOutput)
    assert result.is_error
    assert state.messages == journal_of(again).messages
    hang.go.set()
    assert (state.follow_ups, ask(again, "And now?").text, hang.runs) == (1, "Fine.", 1)
    again.abort()
    kept.sessions.stop_session("s")
    heard = [each.event for each in stream if isinstance(each, SessionEvent)]
    ends = [event.run_id for event in heard if isinstance(event, AgentEnd)]
    assert len(ends) == len(set(ends))
    assert ends[0] == run_id
    assert [event.type for event in heard if event.run_id == run_id][-2:] == ["error", "agent_end"]


def test_what_a_run_that_was_given_up_still_does_is_in_no_journal(kept):
    hang = Hang()
    ref = start(kept, [tool("hang"), "Late."], [hang.tool])
    ref.prompt("Go.")
    hang.begun.wait(SECONDS)
    again = crash(kept, ref)
    before = again.state().messages
    hang.go.set()
    loops = [task.ref for task in kept.services.loop_tasks().which_children() if task.ref is not None]
    for loop in loops:
        loop.join(SECONDS)
    assert again.state().messages == before == journal_of(again).messages


def test_subscribers_hear_of_the_session_that_took_the_place_of_the_crashed_one(kept):
    ref = start(kept, ["One.", "Two."])
    probe = Probe.start()
    ref.subscribe(probe)
    ask(ref)
    again = crash(kept, ref)
    ask(again)
    texts = []
    while len(texts) < 2:
        event = probe.expect(SessionEvent).event
        texts += [event.outcome.text] if isinstance(event, AgentEnd) else []
    assert texts == ["One.", "Two."]
    assert again.state().subscribers == 1
    probe.stop()


def test_the_end_of_a_run_that_was_given_up_does_not_end_the_subscribers_of_the_next(kept):
    hang = Hang()
    ref = start(kept, [tool("hang"), "Fine."], [hang.tool])
    stream = ref.subscribe().stream
    ref.prompt("Go.")
    hang.begun.wait(SECONDS)
    again = crash(kept, ref)
    loops = [task.ref for task in kept.services.loop_tasks().which_children() if task.ref is not None]
    hang.go.set()
    for loop in loops:
        loop.join(SECONDS)
    assert again.state().subscribers == 1
    ask(again)
    kept.sessions.stop_session("s")
    ends = [each.event for each in stream if isinstance(each, SessionEvent) and isinstance(each.event, AgentEnd)]
    assert [end.outcome.stopped_by for end in ends] == ["crashed", "answered"]


def test_an_actor_that_was_killed_begins_no_run(kept):
    ref = start(kept, ["Yes."])
    talk = ref._conversation()
    ref.stop()
    with pytest.raises(ActorDead):
        talk.begin("r", "t")
    assert talk.state().run_id == ""


def test_who_waits_for_a_session_that_crashes_is_told(kept):
    ref = start(kept, [ScriptedClient.HANG])
    ref.prompt("Go.")
    ref.client.wait_for_calls(1)
    told = threading.Event()

    def wait():
        with pytest.raises(ActorDead):
            ref.wait_for_idle(SECONDS)
        told.set()

    thread = threading.Thread(target=wait)
    thread.start()
    crash(kept, ref)
    assert told.wait(SECONDS)
    thread.join()


def test_calls_an_hour_are_counted_over_crashes(kept):
    ref = start(kept, ["One.", "Two."], limits=Limits(calls_per_hour=1))
    assert ask(ref).stopped_by == "answered"
    assert ask(crash(kept, ref)).stopped_by == "calls_per_hour"


def test_a_permanent_session_is_started_again_when_its_ref_is_stopped_and_ends_when_it_is_stopped_by_id(kept):
    ref = start(kept, ["One."], restart="permanent")
    ask(ref)
    back = threading.Event()
    kept.sessions.registry.subscribe(lambda event: back.set() if event.kind == "register" else None)
    ref.stop()
    assert back.wait(SECONDS)
    assert len(kept.sessions.lookup("s").state().messages) == 2
    assert kept.sessions.stop_session("s")
    assert kept.sessions.list_sessions() == {}


def test_a_session_whose_journal_is_spoilt_while_it_runs_is_given_up_with_the_reason(kept):
    ref = start(kept, ["Yes."])
    ask(ref)
    path = ref.state().journal.path
    with open(path, "r+b") as file:
        file.write(b"???")
    ref.kill()
    (told,) = kept.events.wait_for("agent_core.session.gave_up")
    assert f"{path}, line 1" in told["reason"]
    assert kept.sessions.list_sessions() == {}


def test_a_temporary_session_that_crashes_stays_away_and_can_be_restored(kept):
    ref = start(kept, ["Yes."], restart="temporary")
    ask(ref)
    stream = ref.subscribe().stream
    ref.kill()
    assert list(stream)[:-1] == []  # subscribers are let go
    assert kept.sessions.list_sessions() == {}
    assert len(kept.sessions.restore("s", tools=()).state().messages) == 2


def test_a_session_that_crashes_again_and_again_is_given_up_alone(kept):
    ref, other = start(kept, ["Yes."]), start(kept, session="other")
    ask(ref)
    for _ in range(MAX_RESTARTS):
        ref = crash(kept, ref)
    ref.kill()
    kept.events.wait_for("agent_core.session.gave_up", session_id="s")
    kept.events.wait_for("agent_core.session.end", session_id="s")
    assert kept.sessions.list_sessions() == {"other": other}
    assert other.is_alive()
    assert len(kept.sessions.restore("s", tools=()).state().messages) == 2


def test_a_session_in_memory_comes_back_too(core, caplog):
    ref = start(core, ["One.", "Two."])
    start(core, session="other")
    assert caplog.text.count("sessions are kept in memory only") == 1
    ask(ref)
    before = ref.state().messages
    again = crash(core, ref)
    assert (again.state().messages, again.state().journal.status) == (before, "memory")
    assert "state_dir" in again.state().journal.reason
    assert ask(again).text == "Two."
    with pytest.raises(BeamlensError, match=r"Beamlens\.start\(state_dir=\.\.\.\)"):
        core.sessions.restore("x")


def test_a_session_whose_disk_fails_goes_on_and_comes_back_from_memory(tmp_path, caplog):
    (tmp_path / "sessions").touch()
    with AgentCore.start(state_dir=tmp_path) as core:
        ref = start(core, ["One.", "Two."])
        assert ask(ref).text == "One."
        assert (ref.state().journal.status, ref.state().journal.unwritten) == ("failing", 3)
        assert (ref.health().status, "journal cannot be written" in ref.health().reason) == ("degraded", True)
        before = ref.state().messages
        again = crash(core, ref)
        assert again.state().messages == before
        assert ask(again).text == "Two."
        (tmp_path / "sessions").unlink()
        core.sessions.stop_session("s")
        assert len(core.sessions.restore("s", tools=()).state().messages) == 4
    assert caplog.text.count("cannot be written, it goes on in memory") == 1


def test_what_was_heard_of_an_answer_that_broke_off_is_in_the_journal_with_the_reason(kept):
    gone = LLMError("connection lost", kind="authentication", retryable=False)
    ref = start(kept, [streamed("It ", "is ", gone)])
    ref.subscribe()  # without anybody who listens an answer is asked for in one piece
    ask(ref)
    record = journal_of(ref).records[1]
    assert (record.message, record.error) == (Message("assistant", (Text("It is "),)), "connection lost")
    assert journal_of(ref).messages == ref.state().messages


def test_the_run_of_a_task_that_is_killed_is_in_the_journal_with_its_end(kept):
    hang = Hang()
    ref = start(kept, [tool("hang"), "Fine."], [hang.tool])
    ref.prompt("Go.")
    hang.begun.wait(SECONDS)
    (run,) = [c.ref for c in kept.services.loop_tasks().which_children() if c.ref.name.endswith(":run")]
    run.kill()
    assert ref.wait_for_idle(SECONDS).stopped_by == "crashed"
    hang.go.set()
    assert ask(ref).text == "Fine."
    journal = journal_of(ref)
    assert journal.messages == ref.state().messages
    assert [one.end.stopped_by for one in journal.runs] == ["crashed", "answered"]


# -- isolation -------------------------------------------------------------------------------------------------------


def test_many_sessions_are_isolated_from_one_another(kept):
    names = [f"session-{number}" for number in range(12)]
    refs = {name: start(kept, [f"I am {name}.", "Again."], session=name) for name in names}
    streams = {name: ref.subscribe().stream for name, ref in refs.items()}
    for ref in refs.values():
        ref.prompt("Who are you?")
    assert [ref.wait_for_idle(SECONDS).text for ref in refs.values()] == [f"I am {name}." for name in names]
    refs["session-3"] = crash(kept, refs["session-3"], "session-3")
    kept.sessions.stop_session("session-4")
    left = [name for name in names if name != "session-4"]
    assert kept.sessions.list_sessions() == {name: refs[name] for name in sorted(left)}
    for name in left:
        assert ask(refs[name]).text == "Again."
        assert refs[name].state().restarts == (name == "session-3")
        assert len(journal_of(refs[name]).messages) == 4
    for name in left:
        kept.sessions.stop_session(name)
    for name in names:
        heard = [each for each in streams[name] if isinstance(each, SessionEvent)]
        assert {each.session_id for each in heard} == {name}
        texts = [each.event.outcome.text for each in heard if isinstance(each.event, AgentEnd)]
        assert texts == [f"I am {name}.", "Again."][: 1 if name == "session-4" else 2]


def test_the_end_of_the_session_supervisor_ends_sessions_in_order_and_they_can_be_restored(kept):
    ref = start(kept, ["Yes."])
    ask(ref)
    stream = ref.subscribe().stream
    kept.supervisor.child("SessionSupervisor").kill()
    assert list(stream)[:-1] == []
    kept.events.wait_for("agent_core.session.end")
    kept.supervisor.which_children()  # its place is taken
    assert kept.sessions.list_sessions() == {}
    again = kept.sessions.restore("s", (ADD,), ScriptedClient(["Again."]))
    assert ask(again).text == "Again."


# -- subscribers -----------------------------------------------------------------------------------------------------


class Slow(Actor):
    """Handles one event, and no other until it is let."""

    def __init__(self, go):
        super().__init__()
        self._go = go

    def on_receive(self, message):
        self._go.wait(SECONDS)


def test_slow_and_dead_subscribers_hold_nobody_up(kept):
    go = threading.Event()
    slow, dead, quick = Slow.start(go), Probe.start(), Probe.start()
    ref = start(kept, [tool("add", value=1), "Two."])
    subscription = ref.subscribe(slow, capacity=2)
    for probe in (dead, quick):
        ref.subscribe(probe)
    dead.kill()
    assert ask(ref).text == "Two."
    types = [quick.expect(SessionEvent).event.type]
    while types[-1] != "agent_end":
        types.append(quick.expect(SessionEvent).event.type)
    assert (types[0], types.count("message_end")) == ("agent_start", 4)
    assert subscription.dropped > 0
    assert ref.state().subscribers == 2
    go.set()
    for probe in (slow, quick):
        probe.stop()


def test_sessions_can_be_started_by_an_actor_on_greenlets(kept):
    class Host(Actor):
        def on_receive(self, message):
            if message == "ping":
                return "pong"
            self.session = start(kept, ["Yes."])
            self.session.prompt("There?")
            text = self.session.wait_for_idle(SECONDS).text
            kept.sessions.stop_session("s")
            return text, len(kept.sessions.restore("s", tools=()).state().messages)

    host, other = (Host.options(backend="greenlets").start() for _ in range(2))
    answer = host.ask("go", block=False)
    assert other.ask("ping", timeout=SECONDS) == "pong"
    assert answer.get(timeout=SECONDS) == ("Yes.", 2)
    for ref in (host, other):
        ref.stop()


# -- health ----------------------------------------------------------------------------------------------------------


def raise_(error):
    raise error


def test_health_is_the_worst_first_with_reasons(kept):
    refuse = Tool("refuse", lambda _a: raise_(ToolError("no")), Nothing)
    assert kept.sessions.health_summary() == HealthSummary(0, 0, 0, 0, "no_sessions")
    start(kept, session="a")
    ask(start(kept, [tool("refuse"), "Well."], [refuse], session="b", limits=Limits()))
    found = [(each.session_id, each.status, each.reason) for each in kept.sessions.health_all()]
    assert found == [("b", "degraded", "1 of 1 tool results are errors"), ("a", "healthy", "")]
    assert kept.sessions.health_summary() == HealthSummary(2, 1, 1, 0, "degraded")


def test_a_session_that_is_being_restarted_is_unhealthy(kept, monkeypatch):
    ref = start(kept)
    reading, go = held_back(kept.sessions._lives.find("s"), monkeypatch)
    ref.kill()
    assert reading.wait(SECONDS)
    assert kept.sessions.health_summary() == HealthSummary(1, 0, 0, 1, "unhealthy")
    go.set()
    kept.events.wait_for("agent_core.session.restart")
    assert kept.sessions.health_summary().overall == "healthy"


def held_back(life, monkeypatch):
    """Have a restart wait in its middle; events for: it is there, it may go on."""
    there, go = threading.Event(), threading.Event()

    def wait(real=life._messages_again):
        there.set()
        go.wait(SECONDS)
        return real()

    monkeypatch.setattr(life, "_messages_again", wait)
    return there, go


def test_a_session_that_is_ended_while_it_is_restarted_stays_away(kept, monkeypatch):
    ref = start(kept)
    life = kept.sessions._lives.find("s")
    there, go = held_back(life, monkeypatch)
    ref.kill()
    assert there.wait(SECONDS)
    life.close("gone")
    go.set()
    kept.session_supervisor().which_children()  # it is through
    assert (kept.sessions.list_sessions(), kept.session_supervisor().which_children()) == ({}, [])
    assert kept.registry.main("s") is None


def test_a_session_is_stopped_for_good_though_it_crashes_meanwhile(kept, monkeypatch):
    ref = start(kept)
    there, go = held_back(kept.sessions._lives.find("s"), monkeypatch)
    ref.kill()
    assert there.wait(SECONDS)
    stopped = []
    thread = threading.Thread(target=lambda: stopped.append(kept.sessions.stop_session("s")))
    thread.start()
    go.set()
    thread.join(SECONDS)
    assert (stopped, kept.sessions.list_sessions()) == ([True], {})


def test_whoever_wants_the_id_of_a_session_that_is_restarted_is_told_that_it_runs(kept, monkeypatch):
    ref = start(kept)
    there, go = held_back(kept.sessions._lives.find("s"), monkeypatch)
    ref.kill()
    assert there.wait(SECONDS)
    refused = []

    def attempt():
        try:
            start(kept)
        except SessionRunning as error:
            refused.append(error.ref)

    thread = threading.Thread(target=attempt)
    thread.start()
    go.set()
    thread.join(SECONDS)
    assert refused == [kept.sessions.lookup("s")]


# -- persistence -----------------------------------------------------------------------------------------------------


def at_each_end(core, role):
    """The messages in the journal at each end of a message of `role`, heard by a subscriber afterwards."""
    ref = start(core, [tool("add", value=1), "Two."])
    ask(ref, "1 + 1?")
    return [message for message in journal_of(ref).messages if message.role == role], ref


def test_user_messages_are_kept_on_message_end(kept):
    messages, _ = at_each_end(kept, "user")
    assert messages[0] == Message.user("1 + 1?")


def test_assistant_messages_are_kept_on_message_end_before_their_tools_run(kept):
    seen = []

    def look(_arguments):
        seen.append([message.role for message in journal_of(ref).messages])
        return "seen"

    ref = start(kept, [tool("look"), "Well."], [Tool("look", look, Nothing)])
    ask(ref)
    assert seen == [["user", "assistant"]]


def test_tool_result_messages_are_kept_on_message_end_before_the_model_is_asked_again(kept):
    seen = []

    def answer(_request):
        seen.append(journal_of(ref).results)
        return "Two."

    ref = start(kept, [tool("add", value=1), answer])
    ask(ref)
    ((call_id, result),) = seen[0].items()
    assert (result.call_id, result.content) == (call_id, '{"sum": 2}')
