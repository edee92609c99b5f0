"""A process that is killed in the middle of a run, at every record and at any moment: at most one message is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from beamlens.agent import AgentCore
from beamlens.agent.journal import journal_path, read_journal
from beamlens.agent.transcript import Transcript
from beamlens.llm.client import ToolCall
from beamlens.testing import ScriptedClient
from tests.support.loops import ADD

RECORDS = 7
"""Of the run below: the prompt, two turns with a tool and its result each, the answer, the end."""

AT_A_RECORD = """
import os, signal, sys
from beamlens.agent import AgentCore
from beamlens.agent.journal import file
from beamlens.testing import ScriptedClient, tool
from tests.support.loops import ADD

state_dir, how, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
written = -1  # the header
real = file.JournalFile.append

def append(self, line):
    global written
    written += 1
    if written == at:
        if how == "half":
            os.write(self._fd, line[: len(line) // 2])
        if how == "after":
            real(self, line)
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, line)

file.JournalFile.append = append
with AgentCore.start(state_dir=state_dir) as core:
    client = ScriptedClient([tool("add", value=1), tool("add", value=2), "Three."])
    ref = core.sessions.start_session("You help.", [ADD], client, session_id="s")
    ref.prompt("Go.")
    ref.wait_for_idle(30)
"""

ANY_TIME = """
import sys
from beamlens.agent import AgentCore
from beamlens.testing import ScriptedClient, tool
from tests.support.loops import ADD

turn = [tool("add", value=1), "Two."]
with AgentCore.start(state_dir=sys.argv[1]) as core:
    client = ScriptedClient(turn * 100_000)
    ref = core.sessions.start_session("You help.", [ADD], client, session_id="s", fsync="never")
    stream = ref.subscribe(capacity=100_000).stream
    while True:
        ref.prompt("Go.")
        for told in stream:
            if told.event.type == "message_end":
                print("m", flush=True)
            if told.event.type == "agent_end":
                break
        ref.wait_for_idle(10)
"""


def child(code, *args):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE)


def goes_on(state_dir, runs_before):
    """Restore the session and have it answer; its journal is whole again."""
    runs = []

    def answer(_request):
        runs.append(1)
        return "Restored."

    with AgentCore.start(state_dir=state_dir) as core:
        ref = core.sessions.restore("s", [ADD], ScriptedClient([answer]))
        kept = ref.state().messages
        assert runs == []
        Transcript(kept).check()
        ref.prompt("And now?")
        assert ref.wait_for_idle(10).text == "Restored."
        ended = read_journal(ref.state().journal.path)
        assert ended.messages == ref.state().messages
        assert len(ended.runs) == runs_before + 1
        assert all(run.end is not None for run in ended.runs)
        return kept


@pytest.mark.parametrize(("how", "lost"), [("before", 1), ("half", 1), ("after", 0)])
def test_a_process_killed_at_any_record_has_lost_that_one_at_most(tmp_path, how, lost):
    points = range(1, RECORDS + 1)
    children = [child(AT_A_RECORD, tmp_path / str(at), how, at) for at in points]
    for one in children:
        one.communicate(timeout=60)
        assert one.returncode == -signal.SIGKILL
    whole = read_journal(journal_path(tmp_path / str(RECORDS), "s")).messages
    assert len(whole) == RECORDS - 1
    for at in points:
        journal = read_journal(journal_path(tmp_path / str(at), "s"))
        assert len(journal.records) == at - lost
        assert (journal.torn > 0) == (how == "half")
        shapes = [[type(block).__name__ for block in message.content] for message in journal.messages]
        assert shapes == [[type(block).__name__ for block in message.content] for message in whole][: len(shapes)]
        dangling = bool(journal.messages) and any(isinstance(b, ToolCall) for b in journal.messages[-1].content)
        kept = goes_on(tmp_path / str(at), len(journal.runs))
        assert kept[: len(journal.messages)] == journal.messages
        assert len(kept) == len(journal.messages) + dangling


@pytest.mark.parametrize("after", [1, 2, 7, 40])
def test_a_process_killed_at_any_moment_has_lost_the_message_being_written_at_most(tmp_path, after):
    process = child(ANY_TIME, tmp_path)
    told = b""
    while told.count(b"m") < after:
        heard = process.stdout.read1()
        assert heard, "the child has ended"
        told += heard
    process.kill()
    rest, _ = process.communicate(timeout=60)
    told = (told + rest).count(b"m")
    journal = read_journal(journal_path(tmp_path, "s"))
    assert len(journal.messages) >= told - 1
    assert [message.role for message in journal.messages] == ["user", "assistant"] * (len(journal.messages) // 2) + (
        ["user"] if len(journal.messages) % 2 else []
    )
    goes_on(tmp_path, len(journal.runs))


def test_the_lock_of_a_killed_process_is_gone_with_it(tmp_path):
    for _ in range(3):
        process = child(ANY_TIME, tmp_path / str(time.monotonic_ns()))
        assert process.stdout.read1()
        process.kill()
        process.communicate(timeout=60)
    for state_dir in tmp_path.iterdir():
        goes_on(state_dir, len(read_journal(journal_path(state_dir, "s")).runs))
