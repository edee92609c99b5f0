"""Runs of watchers and the like are kept, to be replayed."""

import os
import threading

import pytest

from beamlens.agent import AgentCore, Limits
from beamlens.agent.events import AgentEnd, MessageEnd
from beamlens.agent.investigations import FOLDER, Investigations
from beamlens.agent.journal import read_journal
from beamlens.agent.limits import RunOutcome
from beamlens.agent.replay import replay
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput, ToolSpec
from beamlens.redact import Redactor

TOOLS = (ToolSpec("wait", "Waits.", {"type": "object"}),)


class Inline:
    """Runs tasks at once."""

    def run_nolink(self, fn, **_options):
        fn()


class Nowhere:
    """Has no task supervisor."""

    def run_nolink(self, fn, **_options):
        raise RuntimeError("it is being restarted")


def investigations(folder, tasks=None, **options):
    return Investigations(folder, Redactor(), lambda: tasks or Inline(), **options)


def play(keeps, run="r1", words="all is well", trace="t1"):
    """A run of a watcher, as its listener hears it."""
    hear = keeps.listener("logger", "You watch.", TOOLS, "scripted", Limits(deadline=5.0))
    talk = (
        Message.user(f"Look. {words}"),
        Message("assistant", (ToolCall("c1", "wait", {"ms": 5}),)),
        Message("user", (ToolOutput("c1", "waiting"),)),
    )
    for message in talk:
        hear(MessageEnd(run, trace, message))
    hear(AgentEnd(run, trace, RunOutcome("wait", 1, model="scripted", run_id=run)))


def files(folder):
    return sorted((folder / FOLDER).glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)


def test_a_run_is_kept_under_its_trace_and_can_be_replayed(tmp_path):
    play(investigations(tmp_path), trace="4bf92f")
    (path,) = files(tmp_path)
    assert path.name.startswith("logger-4bf92f-r1.")
    assert path.stat().st_mode & 0o077 == 0
    journal = read_journal(path)
    assert (journal.setup.model, journal.setup.limits["deadline"]) == ("scripted", 5.0)
    with AgentCore.start("replaying") as core:
        found = replay(journal, core=core)
    assert (found.same, found.outcome.stopped_by) == (True, "wait")


def test_secrets_are_not_kept(tmp_path):
    play(investigations(tmp_path), words="password=hunter2hunter2")
    assert "hunter2" not in files(tmp_path)[0].read_text()


def test_the_newest_files_are_kept(tmp_path):
    keeps = investigations(tmp_path, most_files=3)
    for number in range(6):
        play(keeps, run=f"r{number}")
        for age, path in enumerate(reversed(files(tmp_path))):
            os.utime(path, ns=(10**18 - age, 10**18 - age))
    names = {path.name.split(".")[0] for path in files(tmp_path)}
    assert names == {"logger-t1-r3", "logger-t1-r4", "logger-t1-r5"}


def test_they_are_bounded_in_bytes(tmp_path):
    play(investigations(tmp_path), run="r0")
    size = files(tmp_path)[0].stat().st_size
    os.utime(files(tmp_path)[0], ns=(1, 1))
    play(investigations(tmp_path, most_bytes=int(size * 1.5)), run="r1")
    assert [path.name.split(".")[0] for path in files(tmp_path)] == ["logger-t1-r1"]


def test_a_folder_that_cannot_be_written_is_told_once_and_harms_nothing(tmp_path, caplog):
    (tmp_path / FOLDER).write_text("a file")
    keeps = investigations(tmp_path)
    play(keeps, run="r1")
    play(keeps, run="r2")
    told = [record for record in caplog.records if "investigations cannot be kept" in record.message]
    assert len(told) == 1


def test_a_run_without_a_task_supervisor_is_not_kept_and_goes_on(tmp_path):
    play(investigations(tmp_path, Nowhere()))
    assert not (tmp_path / FOLDER).exists()


def test_many_runs_end_at_once(tmp_path):
    keeps = investigations(tmp_path, most_files=10)
    threads = [threading.Thread(target=play, args=(keeps, f"r{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(files(tmp_path)) == 10
    assert all(len(read_journal(path).messages) == 3 for path in files(tmp_path))


@pytest.mark.parametrize("words", ["", "\ud800", "x" * 100_000])
def test_whatever_was_said_is_kept(tmp_path, words):
    play(investigations(tmp_path), words=words)
    (block,) = read_journal(files(tmp_path)[0]).messages[0].content
    assert isinstance(block, Text)
