"""Why did a sensor of `ports` fire? Peers, owners and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from beamlens.detect import SensorState
from beamlens.domains.ports.table import Entry, Table
from beamlens.domains.ports.watch import STALE, Watch
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import openers, owners, source, stacks
from beamlens.probes.source import line_of
from beamlens.probes.stacks import ThreadStack

_EXPLAINS = 0.5
_MB = 1e6
_SERVING = ("serve_forever", "accept_connections")
PORT_EXHAUSTION = "port_exhaustion"
ACCEPT_QUEUE_FULL = "accept_queue_full"
PEER_DOES_NOT_READ = "peer_does_not_read"
PROGRAM_DOES_NOT_READ = "program_does_not_read"
DELETED_FILES = "deleted_files_held"


def explain(sensor: SensorState, watch: Watch) -> list[Evidence]:
    """Look closer; up to 4 seconds."""
    kind = sensor.name.partition("_")[0]
    if kind == "close":
        return _close_wait(watch)
    if kind == "descriptor":
        return openers.watch(sensor.since).evidence
    if kind == "listen":
        return _accept_queue(watch)
    if kind == "ephemeral":
        return _ephemeral(watch)
    if kind == "deleted":
        return _deleted(watch)
    return _queues(watch, sending=kind == "send")


def _close_wait(watch: Watch) -> list[Evidence]:
    read, numbers = watch.table(0.0), watch.forgotten
    left = [entry for entry in read.entries if entry.number in numbers and entry.socket is not None]
    left = [entry for entry in left if entry.socket is not None and entry.socket.state == "CLOSE_WAIT"]
    if not left:
        text = "no socket of this process is in CLOSE_WAIT any more"
        return [Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.EXCLUDES)]
    word = "peer" if len(_peers(read, left)) == 1 else "peers"
    text = (
        f"{len(left)} sockets of this process are in CLOSE_WAIT for {STALE:g} s or longer: the peer closed "
        f"them and the program did not; {word}: {_name_peers(read, left)}"
    )
    data = {"sockets": len(left), "peers": dict(_peers(read, left).most_common(5))}
    found = owners.find({entry.number for entry in left})
    if not found:
        return [_leak(f"{text}; who holds them is not known", None, conclusive=False, data=data)]
    first = found[0]
    enough = len(first.held) >= _EXPLAINS * len(left)
    conclusive = enough and first.exact and first.place is not None
    return [_leak(f"{text}; {first.describe()}", first.place, conclusive=conclusive, data=data)]


def _leak(text: str, place: Place | None, *, conclusive: bool, data: dict[str, object]) -> Evidence:
    strength = Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING
    return Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=strength, place=place, data=data)


def _peers(read: Table, entries: Iterable[Entry]) -> Counter[str]:
    return Counter(read.peer(entry.socket) for entry in entries if entry.socket is not None)


def _name_peers(read: Table, entries: Iterable[Entry]) -> str:
    return ", ".join(f"{peer} ({count})" for peer, count in _peers(read, entries).most_common(3))


def _accept_queue(watch: Watch) -> list[Evidence]:
    """The queue is full because whoever accepts does something else: where does it stand?"""
    waiting = [one for one in watch.table(0.0).connections() if one.state == "LISTEN" and one.receive > 0]
    waiting.sort(key=lambda one: -(one.receive / max(1, one.send)))
    if not waiting:
        text = "no connection waits to be accepted by this process now"
        return [Evidence(text=text, cause=ACCEPT_QUEUE_FULL, strength=Strength.EXCLUDES)]
    one = waiting[0]
    of = f" of a backlog of {one.send}" if one.send > 0 else ""
    text = f"{one.receive} connections{of} wait to be accepted at {one.local}"
    stood = Counter(place for place in (_where_acceptor_stands() for _ in range(5)) if place is not None)
    if not stood:
        text += "; which thread accepts is not known"
        return [Evidence(text=text, cause=ACCEPT_QUEUE_FULL, strength=Strength.SUPPORTING)]
    (file, line, function), count = stood.most_common(1)[0]
    place = Place(file=file, line=line, function=function)
    text += f"; the thread that accepts them stands at {place}: {line_of(place)}"
    strength = Strength.CONCLUSIVE if count >= 4 else Strength.SUPPORTING
    return [Evidence(text=text, cause=ACCEPT_QUEUE_FULL, strength=strength, place=place)]


def _where_acceptor_stands() -> tuple[str, int, str] | None:
    stacks.sample(0.1)
    accepting = _accepting_functions()
    for stack in stacks.look():
        if stack.place is not None and _accepts(stack, accepting):
            return stack.place.file, stack.place.line, stack.place.function
    return None


def _accepting_functions() -> set[tuple[str, str]]:
    parsed = [found for file in source.user_files() if (found := source.parse(file)) is not None]
    return {(site.file, site.function) for one in parsed for site in source.calls(one, "accept")}


def _accepts(stack: ThreadStack, functions: set[tuple[str, str]]) -> bool:
    return any(
        (frame.file, frame.function) in functions or frame.function.rpartition(".")[2] in _SERVING
        for frame in stack.frames
    )


def _ephemeral(watch: Watch) -> list[Evidence]:
    found = watch.destinations()
    total = watch.counters.ports
    if not found or total is None:
        return []
    worst = found[0]
    states = ", ".join(f"{count} {state}" for state, count in worst.states.most_common(3))
    text = (
        f"{worst.count} of {total} local ports are used by connections from {worst.local} to {worst.peer} ({states}), "
        f"of all processes of this network namespace"
    )
    own = sum(1 for one in watch.table(0.0).connections() if one.remote == worst.peer)
    if own >= _EXPLAINS * worst.count or worst.states.get("TIME_WAIT", 0) >= _EXPLAINS * worst.count:
        text += f"; this process has {own} of them open"
        place = owners.opening_line({"socket"})
        if place is not None:
            text += f"; one line connects: {place}: {line_of(place)}"
    else:
        place = None
        text += f"; this process has only {own} of them"
    strength = Strength.CONCLUSIVE if own >= _EXPLAINS * worst.count and place is not None else Strength.SUPPORTING
    data = {"used": worst.count, "ports": total, "peer": str(worst.peer), "own": own}
    return [Evidence(text=text, cause=PORT_EXHAUSTION, strength=strength, place=place, data=data)]


def _queues(watch: Watch, *, sending: bool) -> list[Evidence]:
    read = watch.table(0.0)
    queued = [
        (entry, entry.socket.send if sending else entry.socket.receive)
        for entry in read.entries
        if entry.socket is not None and entry.socket.state != "LISTEN"
    ]
    queued = sorted(((entry, size) for entry, size in queued if size > 0), key=lambda pair: -pair[1])
    cause = PEER_DOES_NOT_READ if sending else PROGRAM_DOES_NOT_READ
    if not queued:
        buffers = "send" if sending else "receive"
        return [Evidence(text=f"the {buffers} buffers are empty now", cause=cause, strength=Strength.EXCLUDES)]
    total = sum(size for _entry, size in queued)
    names = _name_peers(read, (entry for entry, _size in queued))
    what = "were sent and not acknowledged" if sending else "were received and are not read by the program"
    text = f"{total / _MB:.1f} MB {what} on {len(queued)} sockets; peers: {names}"
    found = owners.find({entry.number for entry, _size in queued[:200]})
    place = found[0].place if found else None
    text += f"; {found[0].describe()}" if found else ""
    return [Evidence(text=text, cause=cause, strength=Strength.SUPPORTING, place=place, data={"bytes": total})]


def _deleted(watch: Watch) -> list[Evidence]:
    held = sorted(watch.table(0.0).deleted_files(), key=lambda pair: -pair[1])
    if not held:
        text = "no deleted file is open any more"
        return [Evidence(text=text, cause=DELETED_FILES, strength=Strength.EXCLUDES)]
    total = sum(size for _entry, size in held)
    names = ", ".join(f"{entry.target.removesuffix(' (deleted)')} ({size / _MB:.0f} MB)" for entry, size in held[:3])
    text = f"{len(held)} deleted files are still open and keep {total / _MB:.0f} MB of disk: {names}"
    found = owners.find({entry.number for entry, _size in held})
    place = found[0].place if found else None
    text += f"; {found[0].describe()}" if found else ""
    conclusive = bool(found) and found[0].exact and place is not None
    strength = Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING
    return [Evidence(text=text, cause=DELETED_FILES, strength=strength, place=place, data={"bytes": total})]
