"""Finding the instances that can be asked, and saying clearly why one cannot."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from beamlens.control.address import Address, addresses, remove_stale
from beamlens.control.client import Connection
from beamlens.control.errors import (
    AccessRefused,
    ConnectionLost,
    ControlError,
    ControlUnavailable,
    NoSuchProcess,
    NotServing,
    SeveralInstances,
)

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A control socket of a process that lives: reached, or not.

    Attributes:
        pid: The process.
        connection: Open; ``None`` where it could not be reached.
        error: Why not.
    """

    pid: int
    connection: Connection | None
    error: ControlError | None = None

    @property
    def name(self) -> str:
        """The instance's name; as far as it is known."""
        named = None if self.connection is None else self.connection.hello.get("instance")
        return named if isinstance(named, str) else ""


def find(pid: int | None = None, *, timeout: float = 2.0) -> list[Found]:
    """All instances of this user, or of one process. Sockets that nobody serves any more are removed.

    Args:
        pid: Only this process; root reaches another user's in this way.
        timeout: Seconds for each to say hello; they are asked together.

    Raises:
        ControlUnavailable: This system has no Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ControlUnavailable("this system has no Unix sockets")
    uid = os.geteuid()
    owner = _owner(pid) if pid is not None and uid == 0 else uid
    places = addresses(owner, pid)
    if not places:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(places)), "beamlens-find") as pool:
        found = pool.map(lambda place: _reach(place, owner, timeout), places)
        return [one for one in found if one is not None]


def choose(pid: int | None = None, name: str | None = None, *, timeout: float = 5.0) -> Connection:
    """The one instance that is meant.

    Args:
        pid: Its process; by default the only one that can be reached.
        name: Its name; by default the only one of the process.
        timeout: Seconds to say hello.

    Raises:
        NoSuchProcess: There is no such process; names those that can be asked.
        AccessRefused: It is another user's.
        NotServing: It has no control socket; says how to get one.
        SeveralInstances: There are more; names them.
        ControlError: It was found, and cannot be reached; says why.
    """
    if pid is not None and pid <= 0:
        raise NoSuchProcess(f"a process id is above 0, not {pid}")
    found = find(pid, timeout=timeout)
    try:
        chosen, connection = _only([one for one in found if name is None or one.name in (name, "")], found, pid, name)
    except BaseException:
        _close(found)
        raise
    _close(one for one in found if one is not chosen)
    return connection


def _only(fitting: list[Found], found: list[Found], pid: int | None, name: str | None) -> tuple[Found, Connection]:
    reached = [(one, one.connection) for one in fitting if one.connection is not None]
    if len(reached) == 1:
        return reached[0]
    if reached:
        raise _several([one for one, _connection in reached])
    # One that cannot be reached may have any name: what is wrong with it is told first.
    failed = next((one.error for one in fitting if one.error is not None), None)
    if failed is not None:
        raise failed
    if found:
        names = ", ".join(sorted(repr(one.name) for one in found))
        where = f"process {pid} has" if pid is not None else "there is"
        raise NotServing(f"{where} no instance named {name!r}; reachable: {names}")
    raise _nobody(pid)


def _several(reached: list[Found]) -> SeveralInstances:
    pids = {one.pid for one in reached}
    if len(pids) == 1:
        names = ", ".join(repr(one.name) for one in reached)
        return SeveralInstances(f"process {reached[0].pid} has several instances: {names}; choose one by its name")
    return SeveralInstances(f"several processes can be asked: {_choices(reached)}; give the PID of one")


def _nobody(pid: int | None) -> ControlError:
    how = "start it with Beamlens.start(control=True) or under `beamlens run`"
    if pid is None:
        return NotServing(f"no process of user {os.geteuid()} has a control socket; {how}")
    others = find()
    choices = f"; reachable: {_choices(others)}" if others else ""
    _close(others)
    if not _lives(pid):
        return NoSuchProcess(f"there is no process {pid}{choices}")
    owner = _owner(pid)
    if owner != os.geteuid() and os.geteuid() != 0:
        return AccessRefused(f"process {pid} belongs to user {owner}; ask as that user, or as root{choices}")
    return NotServing(f"process {pid} has no control socket; {how}{choices}")


def _choices(found: list[Found]) -> str:
    return ", ".join(f"{one.pid} ({one.name!r})" if one.name else str(one.pid) for one in found)


def _reach(place: Address, owner: int, timeout: float) -> Found | None:
    try:
        return Found(place.pid, Connection(place, owner=owner, timeout=timeout))
    except NotServing:
        remove_stale(place)
        return None
    except ConnectionLost as error:
        # It is about to end; or it has, and a child that it had just forked held its socket a moment longer.
        return None if remove_stale(place) else Found(place.pid, None, error)
    except ControlError as error:
        return Found(place.pid, None, error)


def _close(found: Iterator[Found] | list[Found]) -> None:
    for one in found:
        if one.connection is not None:
            one.connection.close()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _owner(pid: int) -> int:
    """The user of a process; this one's where that cannot be told."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return os.geteuid()
