"""`JournalWriter`: keeps what a session's runs tell."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from beamlens.agent import events
from beamlens.agent.journal.errors import JournalError, JournalNotFound
from beamlens.agent.journal.file import JournalFile
from beamlens.agent.journal.lines import header_line, record_line
from beamlens.agent.journal.names import FOLDER, journal_path
from beamlens.agent.journal.policy import DEFAULT_FSYNC, Fsync, check_fsync
from beamlens.agent.journal.reader import Journal, list_journals, read_journal
from beamlens.agent.journal.records import Header, MessageRecord, OpenedRecord, Record, RunRecord, Setup
from beamlens.agent.journal.redaction import kept, kept_setup
from beamlens_actors import clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent
    from beamlens.agent.services import Redacts

Tell = Callable[[str, str, int], object]
"""Is told ``failed`` or ``resumed``, why, and how many records wait."""

RETRY = 1.0
"""Seconds after a failure before the disk is tried again."""

CLOSE = 2.0
"""Seconds that the end of a session waits for a disk that hangs."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """How a session's journal is.

    Attributes:
        status: ``kept``: what was said is in the file; ``failing``: it cannot be written, the session goes on in
            memory, and what waits is written once it can be; ``memory``: there is no file; ``closed``.
        path: The file; ``""`` without one.
        reason: Why it cannot be written, or why there is none.
        unwritten: Records that wait.
        fsync: When the disk is made to keep it.
    """

    status: Literal["kept", "failing", "memory", "closed"]
    path: str = ""
    reason: str = ""
    unwritten: int = 0
    fsync: str = ""


class JournalWriter:
    """Writes one journal. Thread-safe.

    `offer` never blocks; `flush` writes what was offered and returns when it is in the file. A disk that fails is told
    once, and tried again with a later record: nothing is left out in between.
    """

    def __init__(
        self, path: Path, redactor: Redacts, fsync: Fsync, tell: Tell, make: Callable[[], JournalFile] | None = None
    ) -> None:
        """Not for users: see `create` and `resume`."""
        self.path = path
        self.fsync = check_fsync(fsync)
        self._open = make or self._reopened
        self._redactor = redactor
        self._tell = tell
        self._file: JournalFile | None = None
        self._lines = 1
        self._queue: deque[Record] = deque()
        self._writing = threading.Lock()
        self._reason = ""
        self._next_try = 0.0
        self._new = make is not None
        self._unsynced = self._new
        self._closed = False

    @classmethod
    def create(
        cls,
        state_dir: str | Path,
        session_id: str,
        setup: Setup,
        *,
        redactor: Redacts,
        fsync: Fsync = DEFAULT_FSYNC,
        tell: Tell = lambda _what, _reason, _unwritten: None,
        folder: str = FOLDER,
    ) -> JournalWriter:
        """Begin the journal of a new session. A disk that fails is no error: the journal is `failing`.

        Args:
            state_dir: The journal is in its folder ``sessions``.
            session_id: The session.
            setup: How it begins.
            redactor: Takes secrets out of all that is written.
            fsync: When the disk is made to keep it: ``always``, at each message; ``run``, at the end of each run;
                ``never``.
            tell: Is told of trouble, and of its end.
            folder: Another folder than ``sessions``.

        Raises:
            ConfigError: `fsync` is none of the choices.
            JournalExists: The session has one.
            JournalLocked: Somebody is about to make it.
        """
        path = journal_path(Path(state_dir), session_id, folder)
        line = header_line(Header(session_id, clock.time(), os.getpid(), kept_setup(setup, redactor)))
        writer = cls(path, redactor, fsync, tell, lambda: JournalFile.create(path, line, session_id))
        try:
            writer._file = writer._open()
        except OSError as error:
            writer._failed(error)
        return writer

    @classmethod
    def resume(
        cls,
        state_dir: str | Path,
        session_id: str,
        *,
        redactor: Redacts,
        fsync: Fsync = DEFAULT_FSYNC,
        tell: Tell = lambda _what, _reason, _unwritten: None,
    ) -> tuple[JournalWriter, Journal]:
        """Go on with a session's journal. One that can be read but not written is `failing`.

        Returns:
            The writer, and what the journal holds; add an `OpenedRecord` with the setup from here on.

        Raises:
            ConfigError: `fsync` is none of the choices.
            JournalNotFound: There is none; lists those that there are.
            JournalLocked: Somebody writes to it; carries the process.
            JournalCorrupt: It cannot be read; names file and line.
            JournalTooNew: It is of a later version.
            OSError: It cannot even be read.
        """
        path = journal_path(Path(state_dir), session_id)
        writer = cls(path, redactor, fsync, tell)
        try:
            writer._file, journal = JournalFile.resume(path)
        except FileNotFoundError:
            known = sorted(stored.session_id for stored in list_journals(state_dir))
            raise JournalNotFound(path, session_id, known) from None
        except OSError as error:
            journal = read_journal(path)
            writer._failed(error)
        writer._lines = journal.lines
        return writer, journal

    def _reopened(self) -> JournalFile:
        file, journal = JournalFile.resume(self.path)
        if journal.lines != self._lines:
            file.close()
            raise JournalError("somebody else has written to it", self.path)
        return file

    # -- records ---------------------------------------------------------------------------------------------

    def offer(self, event: AgentEvent) -> None:
        """Keep what is worth it: a message's end, a run's end. Never blocks."""
        match event:
            case events.MessageEnd(message=message, error=error) if message.content:
                self.add(MessageRecord(clock.time(), event.run_id, event.trace_id, message, error))
            case events.AgentEnd(outcome=ended):
                at, run_id, trace_id = clock.time(), event.run_id, event.trace_id
                self.add(
                    RunRecord(
                        at, run_id, trace_id, ended.stopped_by, ended.iterations, ended.usage, ended.model,
                        ended.cost_usd, ended.error,
                    )
                )  # fmt: skip

    def add(self, record: Record) -> None:
        """Keep a record. Never blocks; it is written with the next `flush`."""
        if not self._closed:
            self._queue.append(record)

    def hear(self, event: AgentEvent) -> None:
        """`offer` and `flush`: the journal as the listener of an `AgentLoop` without a session."""
        self.offer(event)
        self.flush()

    def flush(self, timeout: float | None = None) -> bool:
        """Write what was offered. Raises nothing.

        Args:
            timeout: Seconds to wait for another thread that writes; by default as long as the disk needs.

        Returns:
            Whether nothing waits now.
        """
        if self._queue and clock.acquire(self._writing, timeout):
            try:
                self._write()
            finally:
                self._writing.release()
        return not self._queue

    def _write(self, *, at_once: bool = False) -> None:
        if self._closed or (self._reason and not at_once and clock.monotonic() < self._next_try):
            return
        try:
            file = self._file = self._file or self._open()
            ended = False
            while self._queue:
                record = self._queue[0]
                file.append(record_line(self._lines, self._harmless(record)))
                self._queue.popleft()
                self._lines += 1
                self._unsynced = True
                ended = ended or isinstance(record, RunRecord)
            if self._unsynced and (self.fsync == "always" or (self.fsync == "run" and ended)):
                self._sync(file)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without
            self._failed(error)
            return
        if self._reason:
            reason, self._reason = self._reason, ""
            self._tell("resumed", reason, 0)

    def _sync(self, file: JournalFile) -> None:
        file.sync()
        if self._new:  # that there is such a file has to be kept too
            file.sync_folder()
        self._new = self._unsynced = False

    def _harmless(self, record: Record) -> Record:
        match record:
            case MessageRecord(message=message, error=error):
                return replace(record, message=kept(message, self._redactor), error=self._redactor.text(error))
            case RunRecord(error=error):
                return replace(record, error=self._redactor.text(error))
            case OpenedRecord(setup=setup):
                return replace(record, setup=kept_setup(setup, self._redactor))
        return record

    def _failed(self, error: Exception) -> None:
        first = not self._reason
        self._reason = in_words(error)
        self._next_try = clock.monotonic() + RETRY
        if first:
            self._tell("failed", self._reason, len(self._queue))

    # -- the end ---------------------------------------------------------------------------------------------

    def state(self) -> JournalState:
        """How it is; at once, whatever the disk does."""
        status: Literal["kept", "failing", "closed"] = "failing" if self._reason else "kept"
        if self._closed:
            status = "closed"
        return JournalState(status, str(self.path), self._reason, len(self._queue), self.fsync)

    def read(self) -> Journal:
        """What the file holds now.

        Raises:
            JournalError: It cannot be read.
            OSError: It cannot be opened.
        """
        return read_journal(self.path)

    def close(self, *, discard: bool = False) -> None:
        """Write what waits and let go of the file; a disk that hangs is waited for `CLOSE` seconds.

        Args:
            discard: Remove the file instead: nothing was said, as its session could not be started.
        """
        if self._closed or not clock.acquire(self._writing, CLOSE):
            self._closed = True
            return
        try:
            if self._queue and not discard:
                self._write(at_once=True)
            file, self._file, self._closed = self._file, None, True
            if file is None:
                return
            try:
                if discard:
                    self.path.unlink()
                elif self._unsynced and self.fsync != "never":
                    self._sync(file)
            except OSError as error:
                self._failed(error)
            finally:
                file.close()
        finally:
            self._writing.release()
