"""What may be wrong with a journal.

::

    JournalError
    ├── JournalNotFound     there is none for that session; lists those that there are
    ├── JournalExists       there is one already: restore it, or take another id
    ├── JournalLocked       somebody writes to it; carries the process
    ├── JournalTooNew       written by a later version; carries the version and those that can be read
    └── JournalCorrupt      a line cannot be read; carries file and line
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from beamlens.errors import BeamlensError


class JournalError(BeamlensError):
    """Something is wrong with a journal.

    Attributes:
        path: The file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class JournalNotFound(JournalError):  # noqa: N818 - as the other errors are named
    """The session has no journal."""

    def __init__(self, path: Path, session_id: str, known: Sequence[str]) -> None:
        there = ", ".join(repr(one) for one in known[:20]) or "none"
        more = f" and {len(known) - 20} more" if len(known) > 20 else ""
        super().__init__(
            f"the session {session_id!r} has no journal in {path.parent}; there are those of: {there}{more}", path
        )
        self.session_id = session_id


class JournalExists(JournalError):  # noqa: N818
    """The session has a journal already."""

    def __init__(self, path: Path, session_id: str) -> None:
        super().__init__(
            f"the session {session_id!r} has a journal already, {path}: restore the session to go on with it, take "
            "another id, or delete the file",
            path,
        )
        self.session_id = session_id


class JournalLocked(JournalError):  # noqa: N818
    """Somebody else writes to the journal.

    Attributes:
        pid: The process that does; ``None``: not known.
    """

    def __init__(self, path: Path, pid: int | None) -> None:
        who = "another process" if pid is None else f"the process {pid}"
        super().__init__(f"{who} writes to the journal {path}; a journal has one writer", path)
        self.pid = pid


class JournalTooNew(JournalError):  # noqa: N818
    """The journal was written by a later version.

    Attributes:
        found: Its format's version.
        readable: Those that this version reads.
    """

    def __init__(self, path: Path, found: int, readable: Sequence[int]) -> None:
        versions = ", ".join(map(str, readable))
        super().__init__(
            f"{path} is a journal of format version {found}; this version of Beamlens reads {versions}", path
        )
        self.found = found
        self.readable = tuple(readable)


class JournalCorrupt(JournalError):  # noqa: N818
    """A line of the journal cannot be read, and it is not the last one, which may be half written.

    Attributes:
        line: Its number, from 1.
    """

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}", path)
        self.line = line
