"""The journal of a session: a file of JSON lines, one a message, that survives the process."""

from beamlens.agent.journal.errors import (
    JournalCorrupt,
    JournalError,
    JournalExists,
    JournalLocked,
    JournalNotFound,
    JournalTooNew,
)
from beamlens.agent.journal.names import journal_path
from beamlens.agent.journal.policy import DEFAULT_FSYNC, Fsync
from beamlens.agent.journal.reader import Journal, JournalRun, Stored, list_journals, read_journal
from beamlens.agent.journal.records import (
    FORMAT,
    READABLE,
    VERSION,
    Header,
    MessageRecord,
    OpenedRecord,
    Record,
    RunRecord,
    Setup,
)
from beamlens.agent.journal.writer import JournalState, JournalWriter

__all__ = [
    "DEFAULT_FSYNC",
    "FORMAT",
    "READABLE",
    "VERSION",
    "Fsync",
    "Header",
    "Journal",
    "JournalCorrupt",
    "JournalError",
    "JournalExists",
    "JournalLocked",
    "JournalNotFound",
    "JournalRun",
    "JournalState",
    "JournalTooNew",
    "JournalWriter",
    "MessageRecord",
    "OpenedRecord",
    "Record",
    "RunRecord",
    "Setup",
    "Stored",
    "journal_path",
    "list_journals",
    "read_journal",
]
