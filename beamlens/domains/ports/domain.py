"""The `ports` domain: the descriptors and sockets of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.ports import blocked, declared, why
from beamlens.domains.ports.table import Entry, Table
from beamlens.domains.ports.watch import Trend, Watch, descriptor_limit, trend
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import owners, process, sockets

_Lines = list[str]  # inside the class `list` is a callback
_KB = 1024.0
_MB = 1e6
_PREDICTED_FROM = 5.0
_LISTED = 50
_RISKS = ((15.0, "critical"), (60.0, "high"), (240.0, "medium"), (1440.0, "low"))


class PortsDomain(Domain):
    """File descriptors and sockets of this process: how many of which kind, whose peers, what waits in them.

    What matters: ``close_wait_stale`` that grows (the peer closed, the program forgot to: a leak), a listen backlog
    that is full (the program accepts too slowly), ``ephemeral_used_pct`` near 100 (connections to one peer are opened
    faster than local ports come back; use a pool), ``minutes_to_limit``. Normal: a few CLOSE_WAIT in connection pools,
    many TIME_WAIT, queues that fill and empty. That descriptors grow is reported by ``runtime``; here is who they are
    to and when the limit is reached. Backlog overflows, TIME_WAIT and local ports are of the whole network namespace.
    """

    name: ClassVar[str] = "ports"
    title: ClassVar[str] = "Descriptors and sockets"
    metrics: ClassVar[tuple[Metric, ...]] = declared.METRICS
    sensors: ClassVar[tuple[Sensor, ...]] = declared.SENSORS

    def __init__(self) -> None:
        self._watch = Watch()

    def snapshot(self) -> dict[str, Any]:
        """All metrics; 1 ms and 10 us a descriptor, for three seconds at most."""
        sensed = self._watch.sense()
        read = self._watch.table()
        count, limit, states = process.descriptors(), descriptor_limit(), read.states
        send, receive = read.queued()
        data: dict[str, Any] = {
            "port_count": count,
            "port_limit": None if limit is None else int(limit),
            "port_utilization_pct": None if not limit or count is None else round(100 * count / limit, 2),
            "minutes_to_limit": self._minutes_left(),
            "files": read.kinds["file"],
            "sockets": read.kinds["socket"],
            "pipes": read.kinds["pipe"],
            "others": sum(read.kinds.values()) - sum(read.kinds[kind] for kind in ("file", "socket", "pipe")),
            "tcp_established": states["ESTABLISHED"],
            "tcp_listening": states["LISTEN"],
            "close_wait": states["CLOSE_WAIT"],
            "close_wait_stale": sensed["close_wait_stale"],
            "time_wait": self._watch.counters.time_wait,
            "listen_backlog_pct": sensed["listen_backlog_pct"],
            "listen_overflows_per_s": sensed["listen_overflows_per_s"],
            "ephemeral_used_pct": sensed["ephemeral_used_pct"],
            "send_queue_kb": round(send / _KB, 2),
            "receive_queue_kb": round(receive / _KB, 2),
            "deleted_mb": round(read.deleted_bytes() / _MB, 2),
        }
        if not read.complete:
            data |= dict.fromkeys(_FROM_TABLE)
        elif read.failure:
            data |= dict.fromkeys(_FROM_SOCKETS)
        if not states["LISTEN"]:
            data |= {"listen_backlog_pct": None, "listen_overflows_per_s": None}
        missing = {name: _reason(name, read) for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read; about 0.6 ms, and every five seconds as long as a snapshot."""
        return self._watch.sense()

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Look closer at peers, owners and lines; up to 4 seconds, in slices."""
        return why.explain(sensor, self._watch)

    def excerpt(self, limit: int = 5) -> _Lines:
        """What the descriptors are, and the busiest peers."""
        read = self._watch.table(5.0)
        if not read.entries:
            return []
        kinds = ", ".join(f"{count} {kind}" for kind, count in read.kinds.most_common(4))
        peers: dict[str, int] = {}
        for one in read.connections():
            if one.state not in ("LISTEN", "CLOSE") and one.protocol == "tcp":
                peers[read.peer(one)] = peers.get(read.peer(one), 0) + 1
        top = sorted(peers.items(), key=lambda item: -item[1])
        return [f"descriptors: {kinds}", *(f"{count} connections with {peer}" for peer, count in top)][:limit]

    def _minutes_left(self) -> float | None:
        limit, found = descriptor_limit(), self._trend(_PREDICTED_FROM)
        count = process.descriptors()
        if limit is None or count is None or found is None or not found.steady:
            return None
        return round(max(0.0, limit - count) / found.per_minute, 1)

    def _trend(self, minutes: float) -> Trend | None:
        past = self._watch.history(minutes)
        return trend([(sample.at, float(sample.count)) for sample in past if sample.count is not None])

    @callback
    def list(self) -> Any:
        """All descriptors by kind (counts), and the first 50: id, name (kind), target, addresses. 4 us a descriptor."""
        read = self._watch.table()
        if not read.entries:
            return _unsupported()
        return {
            "total": len(read.entries),
            "complete": read.complete,
            "by_kind": dict(read.kinds),
            "showing": min(len(read.entries), _LISTED),
            "ports": [_row(entry) for entry in read.entries[:_LISTED]],
        }

    @callback
    def info(self, port_id: str) -> Any:
        """One descriptor by its id (number:kind:inode; the number alone will do): row, offset, flags, owner.

        An id whose number was given to another descriptor meanwhile is answered so. Takes up to a second: the owner is
        searched in the heap.
        """
        entry = self._find(port_id)
        if isinstance(entry, dict):
            return entry
        found = owners.find({entry.number})
        return {
            **_row(entry),
            **_details(entry.number),
            "owner": found[0].describe() if found else None,
        }

    @callback
    def top(self, limit: int = 10, sort_by: str = "queue") -> Any:
        """The first sockets by queue, input, output or memory. At most 50; 4 us a descriptor.

        input is what was received and not read, output what was written and not acknowledged; queue, and memory as an
        estimate, are both together. Linux counts no bytes of a file or pipe.
        """
        choices = ("queue", "input", "output", "memory")
        if sort_by not in choices:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(choices)}")
        direction = {"input": "recv", "output": "send"}.get(sort_by, "both")
        return self._by_buffer(limit, direction)

    @callback
    def list_inet(self) -> Any:
        """TCP and UDP sockets: counts by state and by peer, and the first 50. 4 us a socket of the namespace."""
        read = self._watch.table()
        if read.failure or not read.entries:
            return _unsupported(read.failure)
        peers: dict[str, int] = {}
        for one in read.connections():
            if one.state != "LISTEN" and one.remote.port:
                peers[read.peer(one)] = peers.get(read.peer(one), 0) + 1
        rows = [entry for entry in read.entries if entry.socket is not None]
        return {
            "total": len(rows),
            "by_state": dict(read.states),
            "by_peer": dict(sorted(peers.items(), key=lambda item: -item[1])[:_LISTED]),
            "sockets": [_row(entry) for entry in rows[:_LISTED]],
        }

    @callback
    def top_by_buffer(self, limit: int = 10, direction: str = "send") -> Any:
        """The sockets with the most bytes in their send or recv buffer now. At most 50; 4 us a descriptor."""
        if direction not in ("send", "recv"):
            return error("bad_argument", f"direction={direction!r}; the choices are: send, recv")
        return self._by_buffer(limit, direction)

    @callback
    def top_by_queue(self, limit: int = 10) -> Any:
        """The sockets with the most bytes in both buffers, and the accept queues of listening ones. At most 50."""
        read = self._watch.table()
        if read.failure or not read.entries:
            return _unsupported(read.failure)
        return {"sockets": self._by_buffer(limit, "both"), "accept_queues": _accept_queues(read)[: clamp(limit)]}

    @callback
    def inet_stats(self, port_id: str) -> Any:
        """What the kernel knows about one TCP connection: bytes, round trip, retransmits, idle time. 1 ms."""
        entry = self._find(port_id)
        if isinstance(entry, dict):
            return entry
        if entry.socket is None or entry.socket.protocol != "tcp" or entry.socket.state == "LISTEN":
            return error("not_a_connection", f"{entry.id} is {entry.kind}: {entry.target}")
        told = sockets.transfer(entry.socket)
        return {**_row(entry), **({} if told is None else told._asdict()), "told_by_kernel": told is not None}

    @callback
    def queue_growth(self, minutes: int = 10) -> Any:
        """How the queues of all sockets moved in the last minutes (60 at most), and the ten largest."""
        minutes = clamp(minutes, most=60)
        past = [sample for sample in self._watch.history(minutes) if sample.send is not None]
        if len(past) < 2:
            return error("not_yet", "a sample is taken every 5 s; ask again")
        first, last = past[0], past[-1]
        by_inode = {entry.socket.inode: entry for entry in self._watch.table().entries if entry.socket is not None}
        grown = {inode: size - first.top.get(inode, 0) for inode, size in last.top.items() if inode in by_inode}
        return {
            "observed_minutes": round((last.at - first.at) / 60, 2),
            "send_growth_kb": round(((last.send or 0) - (first.send or 0)) / _KB, 2),
            "receive_growth_kb": round(((last.receive or 0) - (first.receive or 0)) / _KB, 2),
            "sockets": [
                {**_row(by_inode[inode]), "growth_kb": round(size / _KB, 2)}
                for inode, size in sorted(grown.items(), key=lambda item: -item[1])
            ],
        }

    @callback
    def suspended_processes(self) -> Any:
        """Threads that wait in a call on a socket: thread, call, id, remote_addr, at. 512 threads; 20 us each."""
        read = self._watch.table()
        if read.failure or not read.entries:
            return _unsupported(read.failure)
        by_number = {entry.number: entry for entry in read.entries if entry.kind == "socket"}
        found = blocked.look(frozenset(by_number))
        return [
            {
                "thread": one.thread,
                "native_id": one.native_id,
                "call": one.call,
                **_pick(by_number[one.number], ("id", "state", "local_addr", "remote_addr")),
                "at": None if one.place is None else f"{one.place.file}:{one.place.line} {one.place.function}",
            }
            for one in found
            if one.number is not None
        ][:_LISTED]

    @callback
    def saturation_prediction(self, minutes: int = 5) -> Any:
        """When the limit of descriptors is reached, by the growth of the last minutes (60 at most); with the risk.

        Risk: critical under 15 minutes, high under 60, medium under 240, low under 1440, else none.
        """
        count, limit = process.descriptors(), descriptor_limit()
        if count is None or limit is None:
            return _unsupported("" if count is None else "there is no limit of descriptors")
        found = self._trend(float(clamp(minutes, most=60)))
        if found is None:
            return error("not_yet", "a sample is taken every 5 s, and four are needed; ask again")
        left = max(0.0, limit - count) / found.per_minute if found.steady else None
        return {
            "count": count,
            "limit": int(limit),
            "growth_per_minute": round(found.per_minute, 2),
            "observed_minutes": round(found.minutes, 2),
            "steady": found.steady,
            "minutes_to_limit": None if left is None else round(left, 1),
            "risk": "none" if left is None else next((name for most, name in _RISKS if left < most), "none"),
        }

    def _by_buffer(self, limit: int, direction: str) -> Any:
        read = self._watch.table()
        if read.failure or not read.entries:
            return _unsupported(read.failure)

        def size(entry: Entry) -> int:
            one = entry.socket
            if one is None or one.state == "LISTEN":
                return 0
            return {"send": one.send, "recv": one.receive, "both": one.send + one.receive}[direction]

        rows = sorted((entry for entry in read.entries if size(entry) > 0), key=lambda entry: -size(entry))
        return [_row(entry) for entry in rows[: clamp(limit)]]

    def _find(self, port_id: str) -> Entry | dict[str, Any]:
        """The descriptor of an id, or the error that answers it."""
        number, _, rest = port_id.strip().partition(":")
        if not (number.isascii() and number.isdigit()) or len(number) > 9:
            return error("bad_argument", f"port_id={port_id[:80]!r}; expected number:kind:inode as in ports_list()")
        read = self._watch.table(0.0)
        if not read.entries:
            return _unsupported()
        entry = read.find(int(number))
        if entry is None:
            return error("port_not_found", f"descriptor {number} is not open")
        if rest and entry.id != port_id.strip():
            return error("port_reused", f"{port_id[:80]} was closed; descriptor {number} is {entry.id} now")
        return entry


_FROM_SOCKETS = ("tcp_established", "tcp_listening", "close_wait", "send_queue_kb", "receive_queue_kb")
_FROM_TABLE = (*_FROM_SOCKETS, "files", "sockets", "pipes", "others", "deleted_mb")


def _reason(name: str, read: Table) -> str:
    if name == "minutes_to_limit":
        return "they do not grow steadily, or it is too early to tell"
    if name == "port_limit" or (name == "port_utilization_pct" and read.entries):
        return "there is no limit"
    if name.startswith("listen_") and read.entries:
        return "no listening socket, or measured between two looks"
    if read.entries and not read.complete:
        return "there are too many descriptors or sockets to read them all in time"
    return read.failure or "this system does not tell"


def _unsupported(reason: str = "") -> dict[str, Any]:
    return error("unsupported", reason or "this system does not tell about descriptors")


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"id": entry.id, "name": entry.kind, "target": entry.target}
    one = entry.socket
    if one is None:
        return row
    row |= {"protocol": one.protocol, "state": one.state, "local_addr": str(one.local)}
    row["remote_addr"] = str(one.remote)
    if one.state == "LISTEN":
        return row | {"waiting": one.receive, "backlog": one.send if one.send >= 0 else None}
    return row | {"send_queue_bytes": one.send, "receive_queue_bytes": one.receive}


def _pick(entry: Entry, names: Sequence[str]) -> dict[str, Any]:
    row = _row(entry)
    return {name: row.get(name) for name in names}


def _accept_queues(read: Table) -> list[dict[str, Any]]:
    rows = [_row(entry) for entry in read.entries if entry.socket is not None and entry.socket.state == "LISTEN"]
    return sorted(rows, key=lambda row: -row["waiting"])


def _details(number: int) -> dict[str, Any]:
    """``fdinfo`` of a descriptor: its offset and flags."""
    try:
        with open(f"/proc/self/fdinfo/{number}", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - small
            pairs = (line.partition(":") for line in file.read(2000).splitlines())
            told = {name.strip(): value.strip() for name, _, value in pairs}
    except OSError:
        return {"offset_bytes": None, "flags": None}
    offset = told.get("pos", "")
    return {"offset_bytes": int(offset) if offset.isdigit() else None, "flags": told.get("flags")}
