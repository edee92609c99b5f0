"""What stands in a journal: a header, then one record a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from beamlens.llm.client import Message, ToolSpec, Usage

FORMAT = "beamlens-session"
VERSION = 1
READABLE = (1,)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is needed to run the session again, besides the functions of its tools.

    Attributes:
        system_prompt: What the model is told first.
        tools: What it may call.
        client: The class of the client; ``""`` for the core's own.
        model: The model's name.
        limits: The fields of `Limits`.
        queue_mode: Whether queued messages are taken one or all at a time.
    """

    system_prompt: str = ""
    tools: tuple[ToolSpec, ...] = ()
    client: str = ""
    model: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    queue_mode: str = "one_at_a_time"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line.

    Attributes:
        session_id: The session, whatever the file is called.
        created_at: Seconds since the epoch.
        pid: The process that made it.
        setup: How it began.
        version: Of the format.
    """

    session_id: str
    created_at: float
    pid: int
    setup: Setup
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all other lines.

    Attributes:
        at: Seconds since the epoch.
    """

    type: ClassVar[str] = ""

    at: float


@dataclass(frozen=True, slots=True)
class MessageRecord(Record):
    """A message of the conversation is complete.

    Attributes:
        run_id: The run that it belongs to.
        trace_id: Its trace.
        message: The message, without secrets.
        error: Why it is not complete, if it is not.
        repair: Whether it was made up for what a process that ended left unanswered.
    """

    type: ClassVar[str] = "message"

    run_id: str
    trace_id: str
    message: Message
    error: str = ""
    repair: bool = False


@dataclass(frozen=True, slots=True)
class RunRecord(Record):
    """A run has ended; the fields are those of `RunOutcome`."""

    type: ClassVar[str] = "run_end"

    run_id: str
    trace_id: str
    stopped_by: str
    iterations: int = 0
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    cost_usd: float | None = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class OpenedRecord(Record):
    """The session goes on: in another process, or after a crash.

    Attributes:
        pid: The process that writes from here on.
        setup: How it goes on.
    """

    type: ClassVar[str] = "opened"

    pid: int
    setup: Setup
