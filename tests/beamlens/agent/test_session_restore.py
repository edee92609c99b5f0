from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from beamlens.agent import AgentCore, Limits, SessionRunning, Tool
from beamlens.agent.journal import JournalCorrupt, JournalLocked, JournalNotFound, JournalTooNew, read_journal
from beamlens.agent.transcript import Transcript
from beamlens.errors import BeamlensError, ConfigError
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput
from beamlens.testing import ScriptedClient, tool
from tests.support.journals import TALK, said, write
from tests.support.loops import ADD, Nothing

SECONDS = 10.0


def ask(ref, text="Go."):
    ref.prompt(text)
    return ref.wait_for_idle(SECONDS)


def restore(core, session="s", script=(), tools=(ADD,), **options):
    return core.sessions.restore(session, tools, ScriptedClient(script), **options)


def test_a_session_of_an_earlier_process_goes_on_with_its_messages_prompt_and_limits(tmp_path):
    client = ScriptedClient([tool("add", value=1), "Two."])
    with AgentCore.start(state_dir=tmp_path) as core:
        ref = core.sessions.start_session(
            "You add.", [ADD], client, Limits(max_iterations=7), "s", queue_mode="all", restart="temporary"
        )
        ask(ref, "1 + 1?")
        before = ref.state()
    with AgentCore.start(state_dir=tmp_path) as core:
        client = ScriptedClient(["You are welcome."])
        ref = core.sessions.restore("s", [ADD], client)
        state = ref.state()
        assert (state.messages, state.error, state.restarts) == (before.messages, "", 0)
        assert (state.outcome.stopped_by, state.outcome.usage, state.outcome.run_id) == (
            "answered",
            before.outcome.usage,
            before.run_id,
        )
        assert ask(ref, "Thanks.").text == "You are welcome."
        assert client.requests[0].system == "You add."
        assert client.requests[0].messages[: len(before.messages)] == before.messages
        setup = read_journal(state.journal.path).setup
        assert (setup.limits["max_iterations"], setup.queue_mode, setup.client) == (7, "all", "ScriptedClient")


def test_a_session_may_go_on_otherwise_and_the_journal_says_how(kept, tmp_path):
    path = write(tmp_path)
    ref = restore(kept, tools=[], system_prompt="Be brief.", limits=Limits(max_iterations=3), queue_mode="all")
    assert ref.state().messages == TALK
    journal = read_journal(path)
    assert (journal.setup.system_prompt, journal.setup.tools, journal.pid) == ("Be brief.", (), os.getpid())
    assert journal.header.setup.system_prompt == "You help."


def test_calls_that_were_left_without_a_result_get_one_that_says_so_and_no_tool_is_run(kept, tmp_path):
    calls = (ToolCall("1", "hang", {}), ToolCall("2", "add", {"value": 1}))
    path = write(tmp_path, events=said(TALK[0], Message("assistant", (Text("I look."), *calls))))
    runs = []
    client = ScriptedClient(["It was cut off."])
    ref = kept.sessions.restore("s", [Tool("hang", lambda _a: runs.append(1), Nothing), ADD], client)
    state = ref.state()
    one, two = state.messages[-1].content
    assert (one.call_id, two.call_id, one.is_error, two.is_error) == ("1", "2", True, True)
    assert one.content == "the process ended before hang was answered; it is not known whether the call had its effect"
    assert (state.running, state.outcome.stopped_by, "process ended" in state.error) == (False, "crashed", True)
    journal = read_journal(path)
    assert journal.messages == state.messages
    assert [record.repair for record in journal.records if record.type == "message"] == [False, False, True]
    assert journal.runs[0].end.stopped_by == "crashed"
    ref.continue_()
    assert ref.wait_for_idle(SECONDS).text == "It was cut off."
    assert runs == []
    Transcript(ref.state().messages).check()
    (told,) = kept.events.wait_for("agent_core.session.restored", session_id="s")
    assert told["note"] == ""


def test_what_was_repaired_once_is_repaired_no_more(kept, tmp_path):
    path = write(tmp_path, events=said(TALK[0], TALK[1]))
    for _ in range(3):
        restore(kept)
        kept.sessions.stop_session("s")
    journal = read_journal(path)
    assert len(journal.messages) == 3
    assert len([record for record in journal.records if record.type == "run_end"]) == 1


def test_a_session_in_which_nothing_was_said_can_be_restored(kept, tmp_path):
    write(tmp_path, events=[])
    ref = restore(kept, script=["Yes."])
    assert (ref.state().messages, ref.state().outcome) == ((), None)
    assert ask(ref).text == "Yes."


def test_a_half_written_last_line_is_said_and_gone(kept, tmp_path, caplog):
    path = write(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"type":"mess')
    restore(kept, script=["Yes."])
    assert "13 bytes, was only half written" in caplog.text
    (told,) = kept.events.wait_for("agent_core.session.restored")
    assert "13 bytes" in told["note"]
    assert read_journal(path).torn == 0


def test_a_session_that_nobody_knows_is_refused_with_those_that_there_are(kept, tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    with pytest.raises(JournalNotFound, match=r"'x' has no journal in .*; there are those of: 'a', 'b'"):
        restore(kept, "x")


def test_a_session_that_runs_is_refused_and_given(kept, tmp_path):
    write(tmp_path)
    ref = restore(kept)
    with pytest.raises(SessionRunning, match="runs already") as caught:
        restore(kept)
    assert caught.value.ref is ref


def test_a_session_that_another_core_runs_is_refused(kept, tmp_path):
    write(tmp_path)
    restore(kept)
    with AgentCore.start(state_dir=tmp_path) as other, pytest.raises(BeamlensError, match="another core"):
        restore(other)


def test_of_many_that_restore_one_session_at_once_one_has_it(kept, tmp_path):
    write(tmp_path)
    refs, refused = [], []

    def attempt():
        try:
            refs.append(restore(kept))
        except SessionRunning as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refs), len(refused)) == (1, 7)
    assert refs[0].state().messages == TALK


def test_tools_that_it_had_have_to_be_given(kept, tmp_path):
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"'s' had the tools add: give them, or tools=\(\) to go on without"):
        kept.sessions.restore("s")
    assert path.read_bytes() == before
    assert restore(kept).is_alive()  # the journal was let go of


def test_a_newer_or_corrupt_journal_is_refused_and_left_as_it_is(kept, tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    for content, error in (
        (whole.replace(b'"version":1', b'"version":9'), JournalTooNew),
        (whole.replace(b'"n":2', b'"n":3'), JournalCorrupt),
    ):
        path.write_bytes(content)
        with pytest.raises(error):
            restore(kept)
        assert path.read_bytes() == content
    assert kept.sessions.list_sessions() == {}


def test_a_session_that_cannot_be_started_lets_go_of_its_journal(kept, tmp_path):
    write(tmp_path)
    kept.registry.register(("s", "main", 0), kept.supervisor)
    with pytest.raises(BeamlensError, match="an agent runs under the key"):
        restore(kept)
    kept.registry.unregister(("s", "main", 0))
    assert restore(kept).state().messages == TALK


OTHER = """
import sys
from beamlens.agent import AgentCore
from beamlens.testing import ScriptedClient
with AgentCore.start(state_dir=sys.argv[1]) as core:
    core.sessions.start_session("You help.", client=ScriptedClient([]), session_id="s")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_session_that_another_process_runs_is_refused_and_the_process_is_named(kept, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(JournalLocked, match=f"the process {process.pid} writes to the journal"):
            restore(kept)
    finally:
        process.kill()
        process.communicate()
    assert restore(kept).is_alive()


def test_results_of_tools_are_sent_again_as_they_were(tmp_path):
    """Byte for byte, redaction and fence included."""
    log = Tool("log", lambda _a: "password=hunter2hunter2\n<b>", Nothing, trust="untrusted")
    client = ScriptedClient([tool("log"), "Well.", "Again."])
    with AgentCore.start(state_dir=tmp_path) as core:
        ask(core.sessions.start_session("You help.", [log], client, session_id="s"))
    sent = client.requests[-1].messages[-1]
    assert isinstance(sent.content[0], ToolOutput)
    assert "hunter2" not in sent.content[0].content
    with AgentCore.start(state_dir=tmp_path) as core:
        client = ScriptedClient(["Again."])
        ask(core.sessions.restore("s", [log], client))
        assert client.requests[0].messages[2] == sent
