"""What the kernel counts for the whole network namespace: overflows of listen queues, TIME_WAIT, local ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from beamlens.probes.sockets import Address, Socket

_PROC = Path("/proc")
_RESERVED = 1024


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of the network namespace; ``None`` is what the system does not tell.

    Attributes:
        overflows: Connections that found a full accept queue, since the system started.
        drops: Connection attempts that a listening socket dropped for any reason, since the system started.
        time_wait: Connections in ``TIME_WAIT`` now.
        open: TCP sockets in use now.
        ports: How many local ports there are for outgoing connections.
    """

    overflows: int | None
    drops: int | None
    time_wait: int | None
    open: int | None
    ports: int | None


def read(proc: Path = _PROC) -> Counters:
    """Read the counters; about 0.1 ms."""
    extended = _pairs(_text(proc / "self/net/netstat"))
    tcp = _sockstat(_text(proc / "self/net/sockstat"))
    bounds = _text(proc / "sys/net/ipv4/ip_local_port_range").split()
    ports = None
    if len(bounds) == 2 and all(bound.isdigit() for bound in bounds):
        ports = int(bounds[1]) - max(int(bounds[0]), _RESERVED) + 1
    return Counters(
        extended.get("ListenOverflows"), extended.get("ListenDrops"), tcp.get("tw"), tcp.get("inuse"), ports
    )


def _pairs(text: str) -> dict[str, int]:
    """``netstat`` has lines in pairs: names, then values."""
    lines = text.splitlines()
    found: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        numbers = values.split()[1:]
        found.update(
            (name, int(number))
            for name, number in zip(names.split()[1:], numbers, strict=False)
            if number.lstrip("-").isdigit()
        )
    return found


def _sockstat(text: str) -> dict[str, int]:
    line = next((line for line in text.splitlines() if line.startswith("TCP:")), "")
    words = line.split()[1:]
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Connections from one local address to one peer: each needs a local port of its own."""

    local: str
    peer: Address
    states: Counter[str]

    @property
    def count(self) -> int:
        """How many there are, in all states."""
        return self.states.total()


def busiest(rows: Iterable[Socket], listening: frozenset[int] = frozenset()) -> list[Destination]:
    """Destinations by the local ports that they use, the most first; connections to our own ports are left out.

    Args:
        rows: Sockets of the namespace, ``TIME_WAIT`` included.
        listening: Ports at which something listens here.
    """
    groups: dict[tuple[str, Address], Counter[str]] = {}
    for one in rows:
        if one.remote.port and one.local.port not in listening:
            groups.setdefault((one.local.host, one.remote), Counter())[one.state] += 1
    found = [Destination(local, peer, states) for (local, peer), states in groups.items()]
    return sorted(found, key=lambda destination: -destination.count)
