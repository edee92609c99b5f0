"""Reading journals; needs no lock, and may be done while somebody writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beamlens.agent.journal.errors import JournalCorrupt, JournalTooNew
from beamlens.agent.journal.lines import Unreadable, parse, read_header, read_record, read_version
from beamlens.agent.journal.names import FOLDER, SUFFIX
from beamlens.agent.journal.records import READABLE, Header, MessageRecord, OpenedRecord, Record, RunRecord, Setup
from beamlens.llm.client import Message, ToolOutput


@dataclass(frozen=True, slots=True)
class JournalRun:
    """One run, as far as it was kept.

    Attributes:
        run_id: The run.
        trace_id: Its trace.
        messages: What it added to the conversation; it begins with what the user said, unless it only went on.
        end: How it ended; ``None``: the process ended first.
    """

    run_id: str
    trace_id: str
    messages: tuple[Message, ...]
    end: RunRecord | None


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal holds.

    Attributes:
        path: The file.
        header: Its first line.
        records: All other lines, oldest first; without those of types that this version does not know.
        lines: How many lines there are.
        size: Bytes up to the end of the last whole line.
        torn: Bytes of a half-written line after it, which were dropped.
    """

    path: Path
    header: Header
    records: tuple[Record, ...]
    lines: int
    size: int
    torn: int = 0

    @property
    def session_id(self) -> str:
        """The session."""
        return self.header.session_id

    @property
    def setup(self) -> Setup:
        """How the session ran last."""
        opened = [record.setup for record in self.records if isinstance(record, OpenedRecord)]
        return opened[-1] if opened else self.header.setup

    @property
    def pid(self) -> int:
        """The process that wrote last, or writes."""
        opened = [record.pid for record in self.records if isinstance(record, OpenedRecord)]
        return opened[-1] if opened else self.header.pid

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation."""
        return tuple(record.message for record in self.records if isinstance(record, MessageRecord))

    @property
    def results(self) -> dict[str, ToolOutput]:
        """The result of each tool call, by the call's id.

        Sent through `beamlens.agent.model.Outgoing`, each is byte for byte what the model was shown.
        """
        blocks = (block for message in self.messages for block in message.content)
        return {block.call_id: block for block in blocks if isinstance(block, ToolOutput)}

    @property
    def runs(self) -> tuple[JournalRun, ...]:
        """Its runs, oldest first."""
        found: dict[str, list[MessageRecord | RunRecord]] = {}
        for record in self.records:
            if isinstance(record, MessageRecord | RunRecord):
                found.setdefault(record.run_id, []).append(record)
        return tuple(_run(records) for records in found.values())

    @property
    def note(self) -> str:
        """What was dropped, as a sentence; ``""`` when nothing was."""
        if not self.torn:
            return ""
        return f"{self.path}: the last line, {self.torn} bytes, was only half written and is left out"


def _run(records: list[MessageRecord | RunRecord]) -> JournalRun:
    messages = tuple(record.message for record in records if isinstance(record, MessageRecord))
    end = next((record for record in records if isinstance(record, RunRecord)), None)
    return JournalRun(records[0].run_id, records[0].trace_id, messages, end)


def read_journal(path: str | Path) -> Journal:
    """Read a journal.

    A last line that was only half written (the process was killed, the disk was full) is left out; see `Journal.note`.

    Raises:
        JournalCorrupt: Another line cannot be read, or the first one is not that of a journal; names file and line.
        JournalTooNew: It is of a later version of the format.
        OSError: The file cannot be read.
    """
    path = Path(path)
    header: Header | None = None
    records: list[Record] = []
    number = size = torn = 0
    with path.open("rb") as file:
        for line, last in _with_last(file):
            try:
                if not line.endswith(b"\n"):
                    raise Unreadable("the line has no end")  # noqa: TRY301 - as any other that is half written
                plain = parse(line)
            except Unreadable as wrong:
                if last and header is not None:
                    torn = len(line)
                    break
                raise JournalCorrupt(path, number + 1, str(wrong)) from None
            try:
                if header is None:
                    if (version := read_version(plain)) not in READABLE:
                        raise JournalTooNew(path, version, READABLE)
                    header = read_header(plain)
                elif (record := read_record(plain, number)) is not None:
                    records.append(record)
            except Unreadable as wrong:
                raise JournalCorrupt(path, number + 1, str(wrong)) from None
            number += 1
            size += len(line)
    if header is None:
        raise JournalCorrupt(path, 1, "the file is empty")
    return Journal(path, header, tuple(records), number, size, torn)


def _with_last(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    before: bytes | None = None
    for line in lines:
        if before is not None:
            yield before, False
        before = line
    if before is not None:
        yield before, True


@dataclass(frozen=True, slots=True)
class Stored:
    """A journal that is there.

    Attributes:
        session_id: Its session.
        path: The file.
        created_at: Seconds since the epoch.
        size: Bytes.
    """

    session_id: str
    path: Path
    created_at: float
    size: int


def list_journals(state_dir: str | Path) -> list[Stored]:
    """The journals in a state directory, newest first, by their first lines; what is none is left out."""
    found = []
    for path in sorted((Path(state_dir) / FOLDER).glob(f"*{SUFFIX}")):
        try:
            with path.open("rb") as file:
                header = read_header(parse(file.readline()))
            found.append(Stored(header.session_id, path, header.created_at, path.stat().st_size))
        except (OSError, Unreadable):
            continue
    return sorted(found, key=lambda stored: -stored.created_at)
