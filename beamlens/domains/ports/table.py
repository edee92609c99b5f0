"""The open descriptors with what the kernel tells about those that are sockets."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from beamlens.probes import descriptors, sockets
from beamlens.probes.descriptors import Kind
from beamlens.probes.slices import Slices
from beamlens.probes.sockets import Socket

_DELETED = " (deleted)"
# Files that never had a name (O_TMPFILE) and memory are meant to be so.
_NAMELESS = re.compile(r"/#\d+ \(deleted\)$|^/memfd:|^/dev/(shm/|zero)|^/SYSV")
_MOST_DELETED = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One descriptor.

    Attributes:
        number: Its number.
        kind: What it is.
        target: What it points at.
        socket: What the kernel tells, for a TCP or UDP socket.
    """

    number: int
    kind: Kind
    target: str
    socket: Socket | None = None

    @property
    def id(self) -> str:
        """Number and what tells it from a later descriptor of the same number: ``12:socket:34567``."""
        inode = descriptors.inode_of(self.target)
        return f"{self.number}:{self.kind}:{inode if inode is not None else descriptors.identity(self.number)}"

    @property
    def deleted(self) -> bool:
        """Whether it is a file whose name was removed: its blocks stay until it is closed."""
        return self.kind == "file" and self.target.endswith(_DELETED) and not _NAMELESS.search(self.target)


@dataclass(frozen=True)
class Table:
    """All descriptors at one moment.

    Attributes:
        entries: In the order of their numbers.
        complete: Whether these are all.
        failure: Why nothing is known about the sockets, ``""`` otherwise.
    """

    entries: tuple[Entry, ...]
    complete: bool = True
    failure: str = ""

    @cached_property
    def kinds(self) -> Counter[str]:
        """How many there are of each kind."""
        return Counter(entry.kind for entry in self.entries)

    @cached_property
    def states(self) -> Counter[str]:
        """How many TCP sockets there are in each state."""
        return Counter(one.state for one in self.connections() if one.protocol == "tcp")

    @cached_property
    def listening(self) -> frozenset[int]:
        """Ports at which this process listens."""
        return frozenset(one.local.port for one in self.connections() if one.state == "LISTEN")

    def connections(self) -> Iterator[Socket]:
        """The TCP and UDP sockets."""
        return (entry.socket for entry in self.entries if entry.socket is not None)

    def find(self, number: int) -> Entry | None:
        """The descriptor of a number."""
        return next((entry for entry in self.entries if entry.number == number), None)

    def peer(self, one: Socket) -> str:
        """Who is at the other end: the server that was connected to, or the host of a client and our port."""
        if one.local.port in self.listening:
            return f"{_host(one.remote.host)} (client of port {one.local.port})"
        return str(one.remote)

    def queued(self) -> tuple[int, int]:
        """Bytes that wait in all send buffers, and in all receive buffers."""
        open_ones = [one for one in self.connections() if one.state != "LISTEN"]
        return sum(one.send for one in open_ones), sum(one.receive for one in open_ones)

    def deleted_bytes(self) -> int:
        """Disk space that deleted files keep, of the first thousand."""
        return sum(held for _entry, held in self.deleted_files())

    def deleted_files(self) -> list[tuple[Entry, int]]:
        """Deleted files that are open, each once, with the bytes that they keep."""
        found: dict[tuple[int, int], tuple[Entry, int]] = {}
        for entry in [entry for entry in self.entries if entry.deleted][:_MOST_DELETED]:
            try:
                status = os.fstat(entry.number)
            except OSError:  # closed meanwhile
                continue
            if status.st_nlink == 0:
                found[status.st_dev, status.st_ino] = (entry, status.st_blocks * 512)
        return list(found.values())


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def read(seconds: float = 1.0) -> Table:
    """Read it: about 4 us a descriptor and 4 us a socket of the network namespace.

    Args:
        seconds: When each of both parts gives up.
    """
    scan = descriptors.scan(seconds)
    slices, kinds = Slices(), dict[int, Kind]()
    for number, target in scan.targets.items():
        slices.pause()
        kinds[number] = descriptors.kind_of(target)
    known: dict[int, Socket] = {}
    failure, complete = "", scan.complete
    if "socket" in kinds.values():
        alive = [state for state in sockets.STATES.values() if state not in ("TIME_WAIT", "NEW_SYN_RECV")]
        listings = [sockets.read(*alive, seconds=seconds), sockets.read(protocol="udp", seconds=seconds)]
        known = {one.inode: one for listing in listings for one in listing.sockets if one.inode}
        complete = complete and all(listing.complete for listing in listings)
        failure = listings[0].failure
    entries = []
    for number, target in scan.targets.items():
        slices.pause()
        entries.append(Entry(number, kinds[number], target, known.get(descriptors.inode_of(target) or 0)))
    return Table(tuple(entries), complete, failure)
