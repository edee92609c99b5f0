"""What is measured, in which units, and how large it is; the same for Beamlens and its peer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table.

    Attributes:
        key: Its name in the values.
        label: What it is.
        unit: Of its values.
        goal: What Beamlens is to stay under; reported, never enforced.
    """

    key: str
    label: str
    unit: str
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a process does.

    Attributes:
        runs: Runs of a loop or batch, after one that is thrown away; their median counts.
        turns: Model calls with a tool call in each run of the loop.
        calls: Tool calls in one turn of the fan-out.
        sleep: Seconds that a tool which waits takes.
        subscribers: Of one agent.
        pieces: Of an answer that is streamed.
        messages: Of the conversation that is compacted.
        callbacks: In one run of Lua.
        repeats: Calls of what is too short for a run of its own.
        appends: Messages in one journal.
    """

    runs: int = 15
    turns: int = 25
    calls: int = 100
    sleep: float = 0.01
    subscribers: int = 100
    pieces: int = 500
    messages: int = 200
    callbacks: int = 500
    repeats: int = 100
    appends: int = 500


QUICK = Sizes(runs=1, turns=3, calls=10, subscribers=4, pieces=20, messages=20, callbacks=10, repeats=2, appends=20)
"""For tests of the structure: its figures mean nothing."""

Side = dict[str, Callable[[Sizes], Values]]
"""Who measures: name of a measure to its function."""

MEASURES: dict[str, tuple[Metric, ...]] = {
    "loop": (
        Metric(
            "loop", "loop, an iteration with one tool call (a run of 25 and an answer, divided by 25)", "us", goal=300.0
        ),
    ),
    "fan-out": (
        Metric("fan_out", "100 tool calls in one turn, 8 at a time (the default)", "ms"),
        Metric("fan_out_wide", "the same, all 100 at a time", "ms"),
        Metric("fan_out_waiting", "the same, all at a time, each waits 10 ms", "ms"),
    ),
    "events": (
        Metric("events_queued", "events for 100 subscribers that read later", "k/s"),
        Metric("events_added", "what a subscriber adds to an event", "us"),
        Metric("events_read", "events read from full queues", "k/s"),
        Metric("events_live", "events to 100 threads that read along", "k/s"),
    ),
    "pieces": (
        Metric("pieces_queued", "an answer of 500 pieces for 100 subscribers that read later, pieces", "k/s"),
        Metric("pieces_queued_batched", "the same, in batches of 64 or 0.1 s", "k/s"),
        Metric("pieces_live", "an answer of 500 pieces to 100 threads that read along, pieces", "k/s"),
        Metric("pieces_live_batched", "an answer to 100 threads that read along, in batches, pieces", "k/s"),
        Metric("pieces_events", "events that each of them gets", "events"),
        Metric("pieces_events_batched", "events that each of them gets, in batches", "events"),
    ),
    "lua": (
        Metric("lua_first", "Lua, first result of a new sandbox", "ms"),
        Metric("lua_run", "Lua, one run", "us"),
        Metric("lua_callback", "Lua, one callback", "us"),
    ),
    "compaction": (
        Metric("compaction", "compaction of 200 messages, without the model", "ms"),
        Metric("compaction_not", "run of one answer after 200 messages", "ms"),
        Metric("compaction_run", "the same, compacted at its start", "ms"),
    ),
    "facts": (
        Metric("facts_pool", "fact check, evidence of a run made ready", "us"),
        Metric("facts_check", "fact check, one observation", "us"),
    ),
    "journal": (
        Metric("journal_always", "journal, appends with an fsync each", "k/s"),
        Metric("journal_run", "journal, appends with an fsync after 10 (the default: one a run)", "k/s"),
        Metric("journal_never", "journal, appends without fsync", "k/s"),
        Metric("journal_unredacted", "the same with nothing to take out secrets", "k/s"),
    ),
}


def took(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def median_of(action: Callable[[], object], times: int) -> float:
    """Median seconds of a call, after one that warms up."""
    action()
    return statistics.median(took(action) for _ in range(times))


def must(holds: object, what: str) -> None:
    """See to it that a measure measured what it says.

    Raises:
        RuntimeError: It did not.
    """
    if not holds:
        raise RuntimeError(f"the measure does not measure what it says: {what}")
