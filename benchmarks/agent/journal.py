"""Appends to a journal, beside a plain file and sqlite3 that keep the same messages."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beamlens.agent import AgentEnd, MessageEnd, RunOutcome
from beamlens.agent.journal import Fsync, JournalWriter, Setup, read_journal
from beamlens.agent.services import Redacts
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput
from beamlens.redact import Redactor
from benchmarks.agent.measures import Side, Sizes, Values, must, took

_RUN = 10
"""Messages of a run."""

_RESULT = '{"rss_mb": 412.5, "threads": 14, "loop_lag_ms": 3.1, "note": "memory grows by 2 MB a minute"} ' * 10


class _Nothing:
    """Takes nothing out."""

    def text(self, text: str) -> str:
        return text

    def value(self, value: Any) -> Any:
        return value


def messages(count: int) -> list[Message]:
    """Calls of a tool and their results of about 1 kB, in turn."""
    found = []
    for number in range(count):
        call = f"call_{number}"
        found.append(
            Message("user", (ToolOutput(call, _RESULT),))
            if number % 2
            else Message("assistant", (Text("I look again."), ToolCall(call, "look", {"number": number})))
        )
    return found


def beamlens(sizes: Sizes) -> Values:
    def appends(folder: Path, fsync: Fsync, redactor: Redacts, count: int) -> float:
        writer = JournalWriter.create(folder, "s", Setup(), redactor=redactor, fsync=fsync)
        told = [MessageEnd(str(number // _RUN), "trace", each) for number, each in enumerate(messages(count))]
        ends = [AgentEnd(str(number), "trace", RunOutcome("answered", 1)) for number in range(count // _RUN + 1)]

        def write() -> None:
            for number, event in enumerate(told, 1):
                writer.hear(event)
                if number % _RUN == 0:
                    writer.hear(ends[number // _RUN])

        seconds = took(write)
        writer.close()
        must(len(read_journal(writer.path).messages) == count, "messages in the journal")
        return seconds

    def measure(fsync: Fsync, redactor: Redacts) -> float:
        return _rate(lambda folder: appends(folder, fsync, redactor, sizes.appends), sizes)

    redactor = Redactor()
    found = {f"journal_{fsync}": measure(fsync, redactor) for fsync in ("always", "run", "never")}
    return found | {"journal_unredacted": measure("never", _Nothing())}


def plain_file(sizes: Sizes) -> Values:
    def appends(folder: Path, every: int) -> float:
        path = folder / "plain.jsonl"
        lines = [_plain(message) for message in messages(sizes.appends)]

        def write() -> None:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for number, line in enumerate(lines, 1):
                os.write(file, json.dumps(line).encode() + b"\n")
                if every and number % every == 0:
                    os.fsync(file)
            os.close(file)

        seconds = took(write)
        must(len(path.read_bytes().splitlines()) == sizes.appends, "lines in the file")
        return seconds

    policies = {"always": 1, "run": _RUN, "never": 0}
    return {f"journal_{name}": _rate(lambda f, n=every: appends(f, n), sizes) for name, every in policies.items()}  # type: ignore[misc]


def sqlite(sizes: Sizes) -> Values:
    def appends(folder: Path, synchronous: str) -> float:
        database = sqlite3.connect(folder / "peer.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, message TEXT)")
        lines = [_plain(message) for message in messages(sizes.appends)]

        def write() -> None:
            for line in lines:
                database.execute("INSERT INTO messages (message) VALUES (?)", (json.dumps(line),))
                database.commit()

        seconds = took(write)
        (count,) = database.execute("SELECT count(*) FROM messages").fetchone()
        must(count == sizes.appends, "rows in the table")
        database.close()
        return seconds

    policies = {"always": "FULL", "never": "OFF"}
    return {f"journal_{name}": _rate(lambda f, s=mode: appends(f, s), sizes) for name, mode in policies.items()}  # type: ignore[misc]


def _rate(appends: Callable[[Path], float], sizes: Sizes) -> float:
    """Thousands of appends a second, the median of some files."""
    found = []
    for _ in range(max(1, sizes.runs // 5)):
        with tempfile.TemporaryDirectory() as folder:
            found.append(sizes.appends / appends(Path(folder)) / 1e3)
    return statistics.median(found)


def _plain(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": [{name: getattr(block, name) for name in block.__slots__} for block in message.content],
    }


SIDES: dict[str, Side] = {
    "plain file, append": {"journal": plain_file},
    "sqlite3, WAL": {"journal": sqlite},
}
