"""What was learned, in a file of the state directory, so that a restart does not learn anew."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from beamlens.config import file_name
from beamlens.domains.anomaly.detector import Detector
from beamlens_actors.words import os_reason

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("beamlens")

FORMAT = 1

_MOST_BYTES = 32_000_000
# Not into children, and not through a link that somebody else put there.
_SAFELY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_here: set[Path] = set()


class Emits(Protocol):
    """Emits an event of the domain."""

    def __call__(self, name: str, /, **metadata: Any) -> None:
        """By its name in the catalogue."""
        ...


class StateFile:
    """``anomaly-<instance>.jsonl``: a line for the detector, one for each metric; replaced as a whole and synced.

    The process that holds the POSIX lock of the file beside it writes; every other one of the same state directory and
    instance name begins with what the file says, learns on in memory, and takes over once the first has ended. A file
    of a newer format is left as it is, one that cannot be read is put aside.
    """

    def __init__(self, folder: Path, instance: str) -> None:
        """Nothing is read or written yet."""
        stem = f"anomaly-{file_name(instance)}"
        self.path = folder / f"{stem}.jsonl"
        self._lock_path = folder / f"{stem}.lock"
        self._lock: int | None = None
        self._process = 0
        self._newer = False
        self._trouble = ""

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self._lock is not None and self._process == os.getpid()

    def load(self, detector: Detector, emit: Emits) -> None:
        """Give the detector what was learned, if there is something; else it begins anew. Tells what is wrong."""
        with contextlib.suppress(OSError):  # told when it is to be saved
            self._take_lock()
        try:
            self._load(detector)
        except FileNotFoundError:
            return
        except _NewerError as error:
            self._newer = True
            self._say(emit, str(error), "it is left as it is, and what is learned is kept in memory")
        except OSError as error:
            self._say(emit, os_reason(error), "learning begins anew")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if self.writes:
                with contextlib.suppress(OSError):
                    self.path.replace(self.path.with_suffix(".unreadable"))
            self._say(emit, f"it cannot be read: {error}", "learning begins anew")

    def _load(self, detector: Detector) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | _SAFELY)
        with os.fdopen(descriptor, "rb") as file:
            lines = file.read(_MOST_BYTES).splitlines()
        if not lines:
            raise ValueError("it is empty")
        header = json.loads(lines[0])
        found = header["format"]
        if not isinstance(found, int) or found > FORMAT:
            raise _NewerError(f"it has format {found!r}, and this Beamlens knows up to {FORMAT}")
        if header["count"] != len(lines) - 1:
            raise ValueError(f"it is cut off: {len(lines) - 1} of {header['count']} metrics")
        detector.restore(header, (json.loads(line) for line in lines[1:]))

    def save(self, detector: Detector, emit: Emits) -> bool:
        """Write it, if this process is the one that writes, and the file is not of a newer format."""
        if self._newer:
            return False
        try:
            if not self._take_lock():
                return False
            self._replace(_lines(detector))
        except OSError as error:
            self._say(emit, os_reason(error), "what is learned is kept in memory")
            return False
        self._trouble = ""
        return True

    def close(self) -> None:
        """Let another process write."""
        if self._lock is not None and self._process == os.getpid():
            os.close(self._lock)
            _here.discard(self._lock_path)
        self._lock = None

    def _take_lock(self) -> bool:
        """Whether the lock is this process's.

        Raises:
            OSError: The folder cannot be used, or the system has no locks.
        """
        if self.writes:
            return True
        if fcntl is None:
            raise OSError(errno.ENOSYS, "this system has no POSIX locks")
        if self._process != os.getpid():  # a forked child: the lock was its parent's
            self._lock, self._process = None, os.getpid()
        # A POSIX lock does not keep the same process out, and is lost when any descriptor of the file is closed.
        if self._lock_path in _here:
            return False
        self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        _here.add(self._lock_path)
        return True

    def _replace(self, lines: Iterator[bytes]) -> None:
        """Write beside it, sync, rename: whoever reads finds the old one or the new one, also after a power cut."""
        beside = self.path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def _say(self, emit: Emits, reason: str, meaning: str) -> None:
        if reason == self._trouble:
            return
        self._trouble = reason
        logger.warning("the file of what is usual, %s, cannot be used: %s; %s", self.path, reason, meaning)
        emit("anomaly.baseline_store.unusable", path=str(self.path), reason=reason)


class _NewerError(Exception):
    """A newer Beamlens wrote it."""


def _lines(detector: Detector) -> Iterator[bytes]:
    # One metric at a time: no other thread waits for longer than one of them takes.
    series = detector.series()
    yield _line({"format": FORMAT, "count": len(series), **detector.header()})
    for one in series:
        yield _line(one.state())


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _after_fork() -> None:
    _here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
