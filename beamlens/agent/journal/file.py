"""`JournalFile`: an append-only file with one writer."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

from beamlens.agent.journal.errors import JournalCorrupt, JournalExists, JournalLocked
from beamlens.agent.journal.lines import Unreadable, parse
from beamlens.agent.journal.reader import Journal, read_journal
from beamlens.errors import BeamlensError

if sys.platform != "win32":
    import fcntl

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_BEGINNING = b'{"type":"session",'
_open_files: weakref.WeakSet[JournalFile] = weakref.WeakSet()


class JournalFile:
    """Holds the file open and locked, from `create` or `resume` to `close`.

    The lock belongs to the open file, not to the process: so a second writer in the same process is refused too, and
    the lock goes with the process, however that ends. A forked child lets go of the file at once.
    """

    def __init__(self, path: Path, fd: int, size: int) -> None:
        """Not for users: see `create` and `resume`."""
        self.path = path
        self._fd = fd
        self._size = size
        self._whole = True
        _open_files.add(self)

    @classmethod
    def create(cls, path: Path, header: bytes, session_id: str) -> JournalFile:
        """Make a journal, readable for its owner only, and write its first line.

        Raises:
            JournalExists: There is one, with a first line at least.
            JournalLocked: Somebody is about to make it.
            OSError: It cannot be made or written.
        """
        _check_platform()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, path)
            if _has_first_line(path):
                raise JournalExists(path, session_id)  # noqa: TRY301 - closed like after any other failure
            os.ftruncate(fd, 0)  # a process that ended before its first line was whole has kept nothing
            made = cls(path, fd, 0)
        except BaseException:
            os.close(fd)
            raise
        try:
            made.append(header)
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def resume(cls, path: Path) -> tuple[JournalFile, Journal]:
        """Open a journal to go on with it, and read it. A line that was only half written is cut off.

        Raises:
            JournalLocked: Somebody writes to it.
            JournalCorrupt: It cannot be read, see `read_journal`.
            JournalTooNew: It is of a later version.
            OSError: It cannot be opened for writing.
        """
        _check_platform()
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _lock(fd, path)
            journal = read_journal(path)
            os.ftruncate(fd, journal.size)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, journal.size), journal

    def append(self, line: bytes) -> None:
        """Write a line. What fails leaves nothing of it behind, now or before the next one.

        Raises:
            OSError: It cannot be written; also when the file was deleted or this process is a forked child.
        """
        self._check_open()
        if os.fstat(self._fd).st_nlink == 0:
            raise OSError(errno.ENOENT, "it was deleted while it was in use", str(self.path))
        if not self._whole:
            os.ftruncate(self._fd, self._size)
            self._whole = True
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._whole = False
            try:
                os.ftruncate(self._fd, self._size)
                self._whole = True
            except OSError:
                pass  # tried again before the next line; a reader drops the half of it meanwhile
            raise
        self._size += len(line)

    def sync(self) -> None:
        """Have the disk keep it, so that it survives the machine too, not the process only.

        Raises:
            OSError: The disk did not.
        """
        self._check_open()
        _sync(self._fd)

    def sync_folder(self) -> None:
        """Have the disk keep that there is such a file."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the file and its lock, also where a child that was forked a moment ago has the file still."""
        self._let_go(unlock=True)

    def forget(self) -> None:
        """Let go of the file in a forked child; the lock is the parent's."""
        self._let_go(unlock=False)

    def _check_open(self) -> None:
        if self._fd < 0:
            raise OSError(errno.EBADF, "it is the parent's: this process was forked from it", str(self.path))

    def _let_go(self, *, unlock: bool) -> None:
        fd, self._fd = self._fd, -1
        _open_files.discard(self)
        if fd < 0:
            return
        try:
            if unlock:
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)


def holder(path: Path) -> int | None:
    """The process that wrote to a journal last, by its own word; ``None`` when that cannot be read."""
    try:
        return read_journal(path).pid
    except (OSError, BeamlensError):
        return None


def _check_platform() -> None:
    if sys.platform == "win32":
        raise BeamlensError(
            "a journal needs the file locks of a POSIX system; without state_dir sessions are in memory"
        )


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalLocked(path, holder(path)) from None


def _has_first_line(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n") and _BEGINNING.startswith(line[: len(_BEGINNING)]):
        return False
    try:
        return bool(parse(line))
    except Unreadable as wrong:  # it is somebody else's file: not to be overwritten
        raise JournalCorrupt(path, 1, str(wrong)) from None


def _after_fork() -> None:
    for file in list(_open_files):
        file.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
