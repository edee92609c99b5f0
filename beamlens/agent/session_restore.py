"""A session from its journal: who it is, and what the process that ended left undone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast, get_args

from beamlens.agent.actor import AgentSetup, check_setup
from beamlens.agent.failures import failed
from beamlens.agent.journal.records import MessageRecord, OpenedRecord, RunRecord, Setup
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.errors import ConfigError
from beamlens.llm.client import Message, ToolCall
from beamlens_actors import clock
from beamlens_supervision.child_spec import Restart

if TYPE_CHECKING:
    from beamlens.agent.actor import OnRunEnd
    from beamlens.agent.conversation import QueueMode
    from beamlens.agent.journal.reader import Journal
    from beamlens.agent.journal.writer import JournalWriter
    from beamlens.agent.tool import Tool
    from beamlens.llm.client import LLMClient

QUEUE_MODES = ("one_at_a_time", "all")
CUT_OFF = "the run was lost: the process ended before it did"


def restored(
    journal: Journal,
    *,
    tools: Sequence[Tool] | None,
    client: LLMClient | None,
    system_prompt: str | None,
    limits: Limits | None,
    queue_mode: str | None,
    on_run_end: OnRunEnd | None,
) -> AgentSetup:
    """The agent of a session as its journal says, and as is wanted otherwise; see `SessionSupervisor.restore`.

    Raises:
        ConfigError: A value that cannot be, or tools that it had are not given; names them.
    """
    before = journal.setup
    if tools is None and before.tools:
        names = ", ".join(tool.name for tool in before.tools)
        text = f"the session {journal.session_id!r} had the tools {names}: give them, or tools=() to go on without"
        raise ConfigError(text, field="tools")
    agent = AgentSetup(
        before.system_prompt if system_prompt is None else system_prompt,
        tuple(tools or ()),
        client,
        _limits(before) if limits is None else limits,
        journal.messages,
        check_queue_mode(before.queue_mode if queue_mode is None else queue_mode),
        on_run_end,
    )
    check_setup(agent)
    return agent


def check_queue_mode(mode: str) -> QueueMode:
    """`mode`, if it is one of the choices.

    Raises:
        ConfigError: It is none.
    """
    if mode not in QUEUE_MODES:
        raise ConfigError(f"queue_mode must be one of {', '.join(QUEUE_MODES)}, not {mode!r}", field="queue_mode")
    return cast("QueueMode", mode)


def check_restart(restart: str) -> None:
    """Refuse what is none of the choices.

    Raises:
        ConfigError: It is none.
    """
    if restart not in get_args(Restart):
        raise ConfigError(f"restart must be one of {', '.join(get_args(Restart))}, not {restart!r}", field="restart")


def _limits(before: Setup) -> Limits:
    known = {each.name for each in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in before.limits.items() if name in known})


def repair(
    journal: Journal, writer: JournalWriter, agent: AgentSetup, setup: Setup
) -> tuple[AgentSetup, RunOutcome | None, int]:
    """Answer the calls that have no result, give the last run its end, and say who goes on.

    Returns:
        The agent with the whole conversation, how its last run ended, and how many calls had no result.
    """
    last = journal.runs[-1] if journal.runs else None
    answers = _answers(journal.messages)
    messages = journal.messages
    now = clock.time()
    if answers is not None and last is not None:
        writer.add(MessageRecord(now, last.run_id, last.trace_id, answers, repair=True))
        messages = (*messages, answers)
    outcome = None
    if last is not None:
        end = last.end
        if end is None:
            iterations = sum(message.role == "assistant" for message in last.messages)
            end = RunRecord(now, last.run_id, last.trace_id, "crashed", iterations, error=CUT_OFF, cost_usd=None)
            writer.add(end)
        outcome = RunOutcome(
            end.stopped_by, end.iterations, end.usage, end.model, end.error, cost_usd=end.cost_usd, run_id=end.run_id
        )
    writer.add(OpenedRecord(now, os.getpid(), setup))
    writer.flush()
    return dataclasses.replace(agent, messages=messages), outcome, 0 if answers is None else len(answers.content)


def _answers(messages: tuple[Message, ...]) -> Message | None:
    """Results for the calls at the end of a conversation that have none."""
    calls = [block for block in messages[-1].content if isinstance(block, ToolCall)] if messages else []
    text = "the process ended before {} was answered; it is not known whether the call had its effect"
    results = tuple(failed(call, "aborted", text.format(call.name)).output() for call in calls)
    return Message("user", results) if results else None
