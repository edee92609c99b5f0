"""An account in a file, shared by the processes of a state directory, that a restart goes on with."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from beamlens.agent.account import Account, Held, Owner
from beamlens.config import file_name
from beamlens_actors import clock
from beamlens_actors.words import os_reason

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("beamlens")

FORMAT = 1
LONGEST_CALL = 600.0
"""Seconds after which a call in flight counts as spent, whoever made it."""

_LOCK_TIMEOUT = 2.0
_LOCK_PAUSE = 0.002
_MOST_BYTES = 1_000_000
# Not into children, and not through a link that somebody else put there.
_SAFELY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)

# A POSIX lock belongs to the process, and goes when any descriptor of the file is closed in it: one at a time.
_gate = threading.Lock()
_here: weakref.WeakSet[AccountFile] = weakref.WeakSet()

Trouble = Callable[[str, str], object]


class AccountFile:
    """Kept in ``budget-<instance>.json``, replaced as a whole and synced, readable by its owner only.

    Every change is made under a POSIX record lock of the file beside it, on what the file says then: so processes that
    share it keep one budget. Where the file cannot be used (no permission, a full disk), the account goes on in
    memory, and what was booked meanwhile is added once the file works again.

    A file that says nothing readable, or is of a newer format, counts as a budget that is spent: it was there to stop
    a process that spends the day's money anew at each restart, and starting from zero would let it. The offline analyst
    works meanwhile, it lasts for a window at most (a newer file: until it is removed), and it is told.
    """

    shared = True

    def __init__(self, folder: Path, name: str, bounds: Mapping[str, float], on_trouble: Trouble) -> None:
        """Nothing is read or written yet.

        Args:
            folder: The state directory; made, for its owner only, when it is missing.
            name: The instance's name.
            bounds: Limit to bound: what an unreadable file counts as.
            on_trouble: Is called with path and reason when the file cannot be used, once until it can be again.
        """
        stem = f"budget-{file_name(name)}"
        self.path = folder / f"{stem}.json"
        self._lock_path = folder / f"{stem}.lock"
        self._bounds = dict(bounds)
        self._on_trouble = on_trouble
        self.token = secrets.token_hex(8)
        self._last = Account()
        self._unsaved = Account()
        self._trouble = ""
        _here.add(self)

    def now(self) -> float:
        """Seconds since the epoch: they go on while no process runs."""
        return clock.time()

    def owner(self) -> Owner:
        """This process, and this account in it."""
        return (socket.gethostname(), os.getpid(), self.token)

    def look(self) -> Account:
        """See `KeepsAccount`; without the lock, as the file is replaced as a whole."""
        try:
            account = self._read()
        except (OSError, _UnreadableError, _NewerError):
            return self._last
        account.add(self._unsaved)
        self._bury(account)
        return account

    @contextlib.contextmanager
    def change(self) -> Iterator[Account]:
        """See `KeepsAccount`."""
        with contextlib.ExitStack() as stack:
            account, stale = self._open(stack)
            changes = _Changes(account or self._last, self._unsaved)
            try:
                yield changes
            finally:
                self._last = changes.account
                if account is not None and (changes.made or stale or self._trouble):
                    self._save(account)

    # -- the file --------------------------------------------------------------------------------------------

    def _open(self, stack: contextlib.ExitStack) -> tuple[Account | None, bool]:
        """Lock and read it: the account, ``None`` when it cannot be used, and whether the file is behind it."""
        try:
            stack.enter_context(self._locked())
            account = self._read()
        except OSError as error:
            self._say(os_reason(error), "the budget is kept in memory meanwhile")
            return None, False
        except _NewerError as error:
            self._assume_spent(self._last)
            self._say(str(error), f"the budget counts as spent until a newer Beamlens runs or {self.path} is removed")
            return None, False
        except _UnreadableError as error:
            account = Account()
            self._assume_spent(account)
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_suffix(".unreadable"))
            self._say(str(error), f"the budget counts as spent; remove {self.path} to begin anew")
        account.add(self._unsaved)
        return account, self._bury(account)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _gate:
            self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | _SAFELY
            descriptor = os.open(self._lock_path, flags, 0o600)
            try:
                _lock(descriptor)
                yield
            finally:
                os.close(descriptor)

    def _read(self) -> Account:
        """What the file says.

        Raises:
            OSError: It cannot be read.
            _UnreadableError: It is not what was written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            return Account()
        with os.fdopen(descriptor, "rb") as file:
            written = file.read(_MOST_BYTES)
        try:
            data = json.loads(written)
            newer = data["format"] > FORMAT
            account = None if newer else Account.from_json(data, self.now())
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _UnreadableError(f"it is not readable ({type(error).__name__})") from error
        if account is None:
            raise _NewerError(f"it has format {data['format']}, and this Beamlens knows up to {FORMAT}")
        return account

    def _save(self, account: Account) -> None:
        text = json.dumps({"format": FORMAT, **account.to_json()}, separators=(",", ":"))
        try:
            _replace(self.path, text.encode())
        except OSError as error:
            self._say(os_reason(error), "the budget is kept in memory meanwhile")
            return
        self._unsaved = Account()
        self._trouble = ""

    def _bury(self, account: Account) -> bool:
        """Calls of the dead were made, and nobody knows what they came to: the most that it may be is spent.

        Returns:
            Whether there were any.
        """
        now = self.now()
        over = [call for call, held in account.held.items() if now - held.at > LONGEST_CALL or _dead(held.owner)]
        for call in over:
            estimate = account.held[call].estimate
            account.end(call)
            account.book(estimate, now)
        return bool(over)

    def _assume_spent(self, account: Account) -> None:
        now = self.now()
        account.book({limit: bound - account.spent(limit, now) for limit, bound in self._bounds.items()}, now)

    def _say(self, reason: str, meaning: str) -> None:
        if reason == self._trouble:
            return
        self._trouble = reason
        logger.warning("the budget's file %s cannot be used: %s; %s", self.path, reason, meaning)
        self._on_trouble(str(self.path), reason)


class _UnreadableError(Exception):
    """The file is not what was written."""


class _NewerError(Exception):
    """A newer Beamlens wrote it."""


class _Changes(Account):
    """An account that notes its changes in another one as well: what is to be added to the file if this is lost."""

    def __init__(self, account: Account, notes: Account) -> None:
        super().__init__()
        self.account = account
        self.held = account.held
        self.made = False
        self._notes = notes

    def spent(self, limit: str, now: float) -> float:
        """See `Account`."""
        return self.account.spent(limit, now)

    def begin(self, call: str, held: Held) -> None:
        """See `Account`."""
        self.made = True
        for account in (self.account, self._notes):
            account.begin(call, held)

    def end(self, call: str) -> None:
        """See `Account`."""
        self.made = True
        for account in (self.account, self._notes):
            account.end(call)

    def book(self, amounts: Mapping[str, float], now: float) -> None:
        """See `Account`."""
        self.made = True
        for account in (self.account, self._notes):
            account.book(amounts, now)


def _lock(descriptor: int) -> None:
    """Wait for the lock, on real time: another process has it.

    Raises:
        OSError: It was not free in time; whoever has it may be stopped.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this system has no POSIX locks")
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, f"another process has held its lock for {_LOCK_TIMEOUT:g} s") from None
            time.sleep(_LOCK_PAUSE)
        else:
            return


def _replace(path: Path, content: bytes) -> None:
    """Write beside it, sync, rename: whoever reads finds the old one or the new one, also after a power cut."""
    beside = path.with_suffix(".tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY
    with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _dead(owner: Owner) -> bool:
    """Whether a process is known to be gone; one of another host or container may be there."""
    host, process, token = owner
    if host != socket.gethostname():
        return False
    if process == os.getpid():  # in a container each process may have the same id
        return all(account.token != token for account in _here)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _after_fork() -> None:
    global _gate
    _gate = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
