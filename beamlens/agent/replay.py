"""Replaying: a recorded run once more, its tools answering as they did, its model the recorded one or another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamlens.agent.core import AgentCore
from beamlens.agent.journal import Journal, read_journal
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.loop import AgentLoop
from beamlens.agent.recording import Assigning, RecordedClient, Recording
from beamlens.errors import ConfigError
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput
from beamlens_actors import AbortSignal

if TYPE_CHECKING:
    from beamlens.agent.journal import JournalRun
    from beamlens.llm.client import LLMClient


@dataclass(frozen=True, slots=True)
class ReplayedCall:
    """A tool call of the replay.

    Attributes:
        call: The call.
        output: What the model was shown.
        recorded: Whether that is, byte for byte, what was recorded for this call; ``False``: it was not recorded.
    """

    call: ToolCall
    output: ToolOutput
    recorded: bool


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """An answer of the model in the replay, and what its calls got."""

    text: str
    calls: tuple[ReplayedCall, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """A replayed run beside the recorded one.

    Attributes:
        run: The recorded run.
        outcome: How the replay ended.
        turns: The answers of the replay.
        differences: In what it differs from the recording, a sentence each; none: it is the same to the byte.
    """

    run: JournalRun
    outcome: RunOutcome
    turns: tuple[ReplayedTurn, ...]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all that was said, called and answered is the same to the byte, and the end too."""
        return not self.differences


def replay(
    journal: str | Path | Journal,
    *,
    run_id: str | None = None,
    client: LLMClient | None = None,
    core: AgentCore | None = None,
    abort: AbortSignal | None = None,
) -> Replay:
    """Run a recorded run again. No tool is run: each call gets the result that was recorded for it.

    Args:
        journal: The journal, or its path.
        run_id: Which of its runs, or how its id begins; by default the last one.
        client: Who answers; by default the model's recorded answers are given once more.
        core: What it runs on; by default one of its own, ended afterwards.
        abort: Stops it.

    Raises:
        ConfigError: There is no such run, or several begin so; lists the runs.
        JournalError: The journal cannot be read.
        OSError: The file cannot be read.
    """
    journal = journal if isinstance(journal, Journal) else read_journal(journal)
    run = _chosen(journal, run_id)
    if core is not None:
        return _replay(journal, run, client, core, abort or AbortSignal())
    with AgentCore.start("replay") as own:
        return _replay(journal, run, client, own, abort or AbortSignal())


def _chosen(journal: Journal, run_id: str | None) -> JournalRun:
    runs = [run for run in journal.runs if any(message.role == "assistant" for message in run.messages)]
    if not runs:
        raise ConfigError(f"{journal.path} holds no run with an answer of a model", field="journal")
    if run_id is None:
        return runs[-1]
    found = [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) != 1:
        what = "no run has" if not found else f"{len(found)} runs have"
        known = ", ".join(run.run_id for run in runs)
        raise ConfigError(f"{what} an id that begins with {run_id!r}; the runs are: {known}", field="run")
    return found[0]


def _replay(journal: Journal, run: JournalRun, client: LLMClient | None, core: AgentCore, abort: AbortSignal) -> Replay:
    setup = journal.setup
    recording = Recording.of(run.messages)
    end = run.end
    answers = Assigning(client or RecordedClient(recording, setup.model if end is None else end.model), recording)

    def more() -> tuple[Message, ...]:
        # Steering and follow-ups alike: what the user said after as many answers as there are now.
        return recording.later.pop(answers.count, ())

    loop = AgentLoop(
        core.services,
        kind="agent",
        agent=journal.session_id,
        system=setup.system_prompt,
        tools=recording.tools(setup.tools, "" if end is None else end.stopped_by),
        abort=abort,
        limits=_limits(setup.limits),
        client=answers,
        until="tool" if recording.urged else "answer",
        fallback=False,
        steering=more,
        follow_ups=more,
    )
    outcome = loop.run(recording.opening, history=_before(journal, run))
    turns = tuple(_turns(outcome.messages, recording))
    return Replay(run, outcome, turns, tuple(_differences(run, outcome)))


def _limits(recorded: Mapping[str, Any]) -> Limits:
    known = {field.name for field in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in recorded.items() if name in known})


def _before(journal: Journal, run: JournalRun) -> tuple[Message, ...]:
    found: list[Message] = []
    for earlier in journal.runs:
        if earlier.run_id == run.run_id:
            break
        found += earlier.messages
    return tuple(found)


def _turns(messages: Sequence[Message], recording: Recording) -> Iterator[ReplayedTurn]:
    outputs = {block.call_id: block for message in messages for block in message.content if type(block) is ToolOutput}
    for message in messages:
        if message.role == "assistant":
            text = "".join(block.text for block in message.content if isinstance(block, Text))
            calls = [block for block in message.content if isinstance(block, ToolCall) and block.id in outputs]
            yield ReplayedTurn(
                text, tuple(ReplayedCall(call, outputs[call.id], recording.matched(call.id)) for call in calls)
            )


def _differences(run: JournalRun, outcome: RunOutcome) -> Iterator[str]:
    for number, (was, now) in enumerate(zip(run.messages, outcome.messages, strict=False), 1):
        if was != now:
            yield f"message {number} of {len(run.messages)}: {_difference(was, now)}"
            break  # all that follows rests on it
    if len(run.messages) != len(outcome.messages):
        yield f"{len(outcome.messages)} messages instead of {len(run.messages)}"
    if run.end is None:
        yield f"the recorded run has no end; the replay ended: {outcome.stopped_by}"
    elif run.end.stopped_by != outcome.stopped_by:
        why = f" ({outcome.error})" if outcome.error else ""
        yield f"the replay ended: {outcome.stopped_by}{why}; recorded: {run.end.stopped_by}"


def _difference(was: Message, now: Message) -> str:
    if was.role != now.role:
        return f"the {now.role} speaks instead of the {was.role}"
    for before, after in zip(was.content, now.content, strict=False):
        if before == after:
            continue
        if isinstance(before, ToolOutput) and isinstance(after, ToolOutput):
            return f"the result of {after.call_id} is {_shown(after.content)} instead of {_shown(before.content)}"
        if isinstance(before, ToolCall) and isinstance(after, ToolCall):
            return f"{after.name} {_shown(after.arguments)} instead of {before.name} {_shown(before.arguments)}"
        if isinstance(before, Text) and isinstance(after, Text):
            return f"{_shown(after.text)} instead of {_shown(before.text)}"
        return f"a {type(after).__name__} instead of a {type(before).__name__}"
    return f"{len(now.content)} parts instead of {len(was.content)}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
