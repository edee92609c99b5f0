"""Journals for tests."""

from __future__ import annotations

from beamlens.agent.events import AgentEnd, MessageEnd
from beamlens.agent.journal import JournalWriter, Setup
from beamlens.agent.limits import RunOutcome
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput, ToolSpec
from beamlens.redact import Redactor

SETUP = Setup(
    "You help.", (ToolSpec("add", "Adds.", {"type": "object"}),), "ScriptedClient", "scripted", {"max_iterations": 25}
)
TALK = (
    Message.user("1 + 1?"),
    Message("assistant", (Text("I add."), ToolCall("call_1", "add", {"value": 1}))),
    Message("user", (ToolOutput("call_1", '{"sum": 2}'),)),
    Message("assistant", (Text("Two."),)),
)


def create(state_dir, session_id="s", **options):
    return JournalWriter.create(state_dir, session_id, SETUP, **{"redactor": Redactor(), **options})


def resume(state_dir, session_id="s", **options):
    return JournalWriter.resume(state_dir, session_id, **{"redactor": Redactor(), **options})


def said(*messages, run="r1"):
    """Events that say messages."""
    return [MessageEnd(run, "t1", message) for message in messages]


def ended(run="r1", stopped_by="answered"):
    """The event of a run's end."""
    return AgentEnd(run, "t1", RunOutcome(stopped_by, 2, model="scripted", run_id=run))


def write(state_dir, session_id="s", events=None, **options):
    """A journal with a talk in it, closed; its path."""
    writer = create(state_dir, session_id, **options)
    for event in [*said(*TALK), ended()] if events is None else events:
        writer.hear(event)
    writer.close()
    return writer.path
