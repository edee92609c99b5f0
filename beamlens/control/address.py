"""Where control sockets are: one folder a user, which nobody else may enter, one socket an instance."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from beamlens.control.errors import ControlUnavailable

_SUFFIX = ".sock"
_NAME = re.compile(r"^(\d+)-([A-Za-z0-9_.-]+)\.sock$")
_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 40
LONGEST_ADDRESS = 103
"""Bytes of a socket's address that every system takes (Linux: 107, macOS: 103)."""


@dataclass(frozen=True, slots=True)
class Address:
    """A control socket in the file system.

    Attributes:
        path: Absolute.
        pid: Of the process that made it; from its name.
    """

    path: Path
    pid: int


def own_folder() -> Path:
    """The folder in which this process serves: ``$XDG_RUNTIME_DIR/beamlens``, else ``<tmp>/beamlens-<uid>``."""
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # A variable that sudo or a container brought along may name another user's folder, or none.
    if os.path.isabs(runtime) and _belongs(runtime, uid) and os.access(runtime, os.W_OK | os.X_OK):  # noqa: PTH117
        return Path(runtime, "beamlens")
    return Path(tempfile.gettempdir()).absolute() / f"beamlens-{uid}"


def folders(uid: int, *, everywhere: bool = True) -> list[Path]:
    """Folders in which sockets of a user's processes may be: their environment need not be this one's.

    Args:
        uid: The user.
        everywhere: Also where this process has a runtime folder that is not the system's, which is a world of its own.
    """
    usual = [Path(f"/run/user/{uid}/beamlens")]
    usual += [Path(base).absolute() / f"beamlens-{uid}" for base in (tempfile.gettempdir(), "/tmp")]  # noqa: S108
    if uid != os.geteuid():
        return list(dict.fromkeys(usual))
    own = own_folder()
    return list(dict.fromkeys([own, *usual])) if everywhere or own in usual else [own]


def check_folder(folder: Path, uid: int) -> None:
    """Accept a folder that only `uid` can have put something into.

    Raises:
        FileNotFoundError: There is none.
        ControlUnavailable: It is a link, or another user's, or others may enter it.
    """
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise ControlUnavailable(f"{folder} must be a folder for control sockets, and is none; remove it")
    if found.st_uid != uid:
        raise ControlUnavailable(f"{folder} belongs to user {found.st_uid}, not to {uid}; it is not to be trusted")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise ControlUnavailable(f"others may enter {folder} (mode {mode:o}); remove it, or chmod 700 it")


def prepare_folder() -> Path:
    """Make the folder in which this process serves.

    Raises:
        ControlUnavailable: It cannot be made, or what is there is not to be trusted.
    """
    folder = own_folder()
    try:
        with suppress(FileExistsError):
            folder.mkdir(0o700)
            folder.chmod(0o700)  # an umask may have taken from it
        check_folder(folder, os.geteuid())
    except OSError as error:
        raise ControlUnavailable(f"the folder {folder} cannot be made: {error.strerror or error}") from error
    return folder


def socket_name(pid: int, instance: str) -> str:
    """The file's name; an instance's name that cannot be a file's is shortened, and told apart by a hash."""
    name = _STRANGE.sub("_", instance)[:_LONGEST_NAME]
    if name != instance:
        name += "-" + hashlib.sha256(instance.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{pid}-{name}{_SUFFIX}"


def addresses(uid: int, pid: int | None = None) -> list[Address]:
    """The sockets of a user's processes, or of one, by pid; folders that are not to be trusted are left out."""
    found: list[Address] = []
    for folder in folders(uid, everywhere=pid is not None):
        try:
            check_folder(folder, uid)
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except (OSError, ControlUnavailable):
            continue
        for name in names:
            match = _NAME.match(name)
            if match is not None and pid in (None, int(match[1])):
                found.append(Address(folder / name, int(match[1])))
    return sorted(found, key=lambda one: (one.pid, str(one.path)))


@contextmanager
def bindable(path: Path) -> Iterator[str]:
    """The path in a form that is short enough for `bind` and `connect`.

    Raises:
        OSError: The folder cannot be opened, or the path is too long for this system.
    """
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not Path(f"/proc/self/fd/{descriptor}").exists():
            raise OSError(f"{path} is too long for a socket: more than {LONGEST_ADDRESS} bytes; set XDG_RUNTIME_DIR")
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def remove_stale(address: Address) -> bool:
    """Remove a socket that nobody listens at. Whether it is gone.

    That a process of this pid lives says nothing: the number may have been given anew, or be another container's.
    """
    try:
        before = address.path.lstat()
    except OSError:
        return True
    if not stat.S_ISSOCK(before.st_mode):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, bindable(address.path) as place:
            probe.settimeout(0.2)
            probe.connect(place)
    except ConnectionRefusedError:
        with suppress(OSError):
            if address.path.lstat().st_ino == before.st_ino:
                address.path.unlink()
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


class Listener:
    """A listening socket with its file."""

    def __init__(self, sock: socket.socket, path: Path, inode: int) -> None:
        """Not for users: `open` makes one."""
        self.socket = sock
        self.path = path
        self._inode = inode
        self._pid = os.getpid()

    @classmethod
    def open(cls, instance: str) -> Listener:
        """Listen for this process.

        Raises:
            ControlUnavailable: It cannot; says why.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise ControlUnavailable("this system has no Unix sockets")
        folder = prepare_folder()
        path = folder / socket_name(os.getpid(), instance)
        # Listening before it has its name: what cannot be connected to there is stale.
        making = folder / f".{path.name[: -len(_SUFFIX)]}.{os.urandom(4).hex()}"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with bindable(making) as place:
                sock.bind(place)
            making.chmod(0o600)
            sock.listen(16)
            sock.setblocking(False)
            inode = making.stat().st_ino
            making.rename(path)
        except OSError as error:
            sock.close()
            with suppress(OSError):
                making.unlink()
            raise ControlUnavailable(f"no socket can be made in {folder}: {error.strerror or error}") from error
        return cls(sock, path, inode)

    def close(self) -> None:
        """Stop listening, and remove the file, if it is still this one and not the parent's of a fork."""
        self.socket.close()
        if os.getpid() != self._pid:
            return
        with suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()


def _belongs(folder: str, uid: int) -> bool:
    try:
        found = os.stat(folder)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid
