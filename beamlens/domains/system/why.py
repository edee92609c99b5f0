"""Why did a sensor of `system` fire? Which disk, which limit, which process; and whether it is this program itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from beamlens.detect import SensorState
from beamlens.domains.system import neighbours
from beamlens.domains.system.disks import Disk
from beamlens.domains.system.host import Host, Looker
from beamlens.domains.system.neighbours import Process, Usage
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import descriptors, owners, process, stacks
from beamlens.probes.source import line_of
from beamlens_actors import AbortSignal, clock

_WATCH = 1.2
_MINE = 0.5
_NAMED = 3
_MB = 1e6
_MOST_FILES = 4096
NOISY_NEIGHBOUR = "noisy_neighbour"
HOST_OVERLOADED = "host_overloaded"
DISK_FULL = "disk_full"
DISK_HANGS = "disk_hangs"
NETWORK_FAULT = "network_fault"


def explain(sensor: SensorState, looker: Looker) -> list[Evidence]:
    """Look closer; up to 4 seconds."""
    name = sensor.name
    if name.startswith("disk_hangs"):
        return _hung(looker.look())
    if name.startswith("disk_"):
        return _disk(looker.look(), by=name)
    if name == "cpu_steal":
        return _steal(looker.look())
    if name in ("network_errors", "tcp_retransmits"):
        return _network(looker.look())
    if name in ("memory_available_low", "swap_storm", "memory_pressure", "memory_throttling", "oom_kill"):
        return _memory(looker)
    if name == "cpu_throttling":
        return _throttling(looker)
    return _busy(looker)


def _throttling(looker: Looker) -> list[Evidence]:
    """The limit is a fact; who uses it up is this program, or another process of the container."""
    host = looker.look()
    group, between = host.counters.group, host.between
    burnt = _measure(looker.root)
    used, place = burnt.used, burnt.place
    text = f"the CPU limit of {_cores(group.cpu_cores)} stopped this container"
    if between is not None and between.throttled_pct is not None:
        text += f" in {between.throttled_pct:g}% of the scheduling periods"
        if between.throttled_ms_per_s is not None:
            text += f", {between.throttled_ms_per_s:.0f} ms of each second"
    own = next((one.cpu_pct for one in used if one.process.pid == os.getpid()), None)
    data = {"limit_cores": group.cpu_cores, "own_cpu_pct": own}
    text += f"; most of the CPU is used by {_name(used)}" if used else ""
    mine = own is not None and group.cpu_cores is not None and own >= _MINE * 100 * group.cpu_cores
    if mine and place is not None:
        text += f"; its busiest thread burns {burnt.share:.0%} of its time at {place}: {line_of(place)}"
    return [
        Evidence(
            text=text,
            cause=CauseKind.RESOURCE_LIMIT,
            strength=Strength.CONCLUSIVE,
            place=place if mine else None,
            data=data,
        )
    ]


def _cores(cores: float | None) -> str:
    return "unknown size" if cores is None else f"{cores:g} core{'s' if cores != 1 else ''}"


def _busy(looker: Looker) -> list[Evidence]:
    """Load, pressure: this program, or its neighbours?"""
    burnt = _measure(looker.root)
    used, place = burnt.used, burnt.place
    if not used:
        return []
    total = sum(one.cpu_pct for one in used)
    own = next((one.cpu_pct for one in used if one.process.pid == os.getpid()), 0.0)
    waiting = [one.process for one in used if one.process.state == "D"]
    text = f"processes used {total:.0f}% of a core: {_name(used)}; this process {own:.0f}%"
    if waiting:
        names = ", ".join(f"{one.name} ({one.pid})" for one in waiting[:_NAMED])
        text += f"; {len(waiting)} wait for a disk: {names}"
    if own >= _MINE * total and place is not None:
        text += f"; its busiest thread burns {burnt.share:.0%} of its time at {place}: {line_of(place)}"
        return [Evidence(text=text, cause=HOST_OVERLOADED, strength=Strength.SUPPORTING, place=place)]
    return [Evidence(text=text, cause=NOISY_NEIGHBOUR, strength=Strength.SUPPORTING)]


def _steal(host: Host) -> list[Evidence]:
    stolen = host.between.usage.steal if host.between is not None and host.between.usage is not None else None
    if stolen is None:
        return []
    text = (
        f"the hypervisor gave {stolen:g}% of this machine's processor time to others: no process here is the cause, "
        "the host of this virtual machine is oversubscribed or its CPU credits are used up"
    )
    return [Evidence(text=text, cause=NOISY_NEIGHBOUR, strength=Strength.CONCLUSIVE, data={"steal_pct": stolen})]


def _memory(looker: Looker) -> list[Evidence]:
    host = looker.look()
    memory, group = host.counters.memory, host.counters.group
    found = neighbours.read(looker.root)
    if memory is None:
        return []
    text = f"{memory.available / _MB:.0f} of {memory.total / _MB:.0f} MB can still be had"
    if group.memory_bytes is not None and group.memory_used_bytes is not None:
        text += f"; the container uses {group.memory_used_bytes / _MB:.0f} of its {group.memory_bytes / _MB:.0f} MB"
    if host.oom_kills_1m:
        text += f"; the kernel killed {host.oom_kills_1m} for want of memory in the last minute"
    top = sorted(found.found.values(), key=lambda one: -one.rss)[:_NAMED] if found else []
    if not top:
        return [Evidence(text=text, cause=CauseKind.RESOURCE_LIMIT, strength=Strength.SUPPORTING)]
    text += "; largest: " + ", ".join(f"{one.name} ({one.pid}) {one.rss / _MB:.0f} MB" for one in top)
    mine = top[0].pid == os.getpid()
    text += "; the first is this process" if mine else ""
    return [
        Evidence(
            text=text,
            cause=CauseKind.RESOURCE_LIMIT,
            strength=Strength.SUPPORTING,
            data={"available_mb": round(memory.available / _MB), "largest_pid": top[0].pid, "own": mine},
        )
    ]


def _disk(host: Host, *, by: str) -> list[Evidence]:
    disk = _worst(host, by)
    if disk is None or disk.space is None:
        return []
    space, mount = disk.space, disk.mount
    text = (
        f"{mount.path} ({mount.kind}, {mount.source}) is {space.used_pct:g}% full, "
        f"{space.available / _MB:.0f} MB are left"
    )
    if by == "disk_inodes_used":
        text += f"; {space.inodes_used_pct:g}% of its inodes are used: there are too many files"
    if disk.growth.active:
        text += f"; {disk.growth.reason}"
    data = {"mount": mount.path, "used_pct": space.used_pct, "available_mb": round(space.available / _MB)}
    if disk.growth.active and (writer := _own_writer(mount.path, disk.growth.data.get("rate_per_s", 0.0))):
        number, target, rate = writer
        found = owners.find({number})
        place = found[0].place if found else None
        text += f"; this process writes {target}, {rate:.2g} MB/s"
        text += f"; {found[0].describe()}" if found else ""
        data |= {"file": target}
        return [Evidence(text=text, cause=DISK_FULL, strength=Strength.CONCLUSIVE, place=place, data=data)]
    # What is full is a fact that explains itself; who fills it is known only when it is this process.
    return [Evidence(text=text, cause=DISK_FULL, strength=Strength.CONCLUSIVE, data=data)]


def _worst(host: Host, by: str) -> Disk | None:
    """The disk that a sensor means: the one that is full first, that is the fullest, or that has the fewest inodes."""
    ranked = []
    for index, disk in enumerate(host.disks):
        if disk.space is None:
            continue
        left = disk.seconds_to_full
        soon = float("-inf") if left is None else -left
        rank = {"disk_fills": soon, "disk_inodes_used": disk.space.inodes_used_pct or 0.0}
        ranked.append((rank.get(by, 0.0), disk.space.used_pct, index))
    return host.disks[max(ranked)[2]] if ranked else None


def _own_writer(mount: str, rate: float) -> tuple[int, str, float] | None:
    """The file of this process on that disk that grows the fastest, if it makes half of the disk's growth."""
    before = _sizes(mount)
    began = clock.monotonic()
    AbortSignal().wait(_WATCH)
    after, seconds = _sizes(mount), max(0.1, clock.monotonic() - began)
    grown = [
        (number, target, (size - before[number][1]) / seconds / _MB)
        for number, (target, size) in after.items()
        if number in before and before[number][0] == target
    ]
    best = max(grown, key=lambda one: one[2], default=None)
    return best if best is not None and best[2] > 0 and best[2] >= _MINE * rate else None


def _sizes(mount: str) -> dict[int, tuple[str, int]]:
    try:
        device = os.stat(mount).st_dev  # noqa: PTH116 - it answered a moment ago
    except OSError:
        return {}
    found: dict[int, tuple[str, int]] = {}
    for number, target in list(descriptors.targets().items()):
        if descriptors.kind_of(target) != "file" or not target.startswith(mount) or len(found) >= _MOST_FILES:
            continue
        try:
            status = os.fstat(number)
        except OSError:
            continue
        if status.st_dev == device:
            found[number] = (target, status.st_blocks * 512)
    return found


def _hung(host: Host) -> list[Evidence]:
    hung = [disk for disk in host.disks if disk.failure.startswith("does not answer")]
    if not hung:
        return [Evidence(text="every mount answers again", cause=DISK_HANGS, strength=Strength.EXCLUDES)]
    names = "; ".join(
        f"{disk.mount.path} ({disk.mount.kind}, {disk.mount.source}) {disk.failure}" for disk in hung[:_NAMED]
    )
    text = f"{names}. Programs that touch it wait in the kernel and cannot be interrupted"
    return [Evidence(text=text, cause=DISK_HANGS, strength=Strength.CONCLUSIVE)]


def _network(host: Host) -> list[Evidence]:
    if host.between is None:
        return []
    faulty = {
        name: rates.get("rx_errors_per_s", 0.0) + rates.get("tx_errors_per_s", 0.0)
        for name, rates in host.between.interfaces.items()
    }
    names = ", ".join(f"{name} {rate:g}/s" for name, rate in faulty.items() if rate > 0) or "no interface has errors"
    text = f"damaged packets: {names}"
    if host.between.retransmit_pct is not None:
        text += f"; {host.between.retransmit_pct:g}% of TCP segments are sent again, of all processes here"
    return [Evidence(text=text, cause=NETWORK_FAULT, strength=Strength.SUPPORTING)]


@dataclass(frozen=True, slots=True)
class _Burnt:
    """Who used the processors: each process, and in this one the thread that burnt the most, with its line."""

    used: list[Usage]
    place: Place | None
    share: float


def _measure(root: Path) -> _Burnt:
    before, threads, began = neighbours.read(root), process.thread_cpu(), clock.monotonic()
    AbortSignal().wait(_WATCH)
    now, after = neighbours.read(root), process.thread_cpu()
    used: list[Usage] = []
    if before is not None and now is not None:
        used = neighbours.usage(before, now, max(0.1, clock.monotonic() - began))
    spent = {native_id: seconds - threads.get(native_id, 0.0) for native_id, seconds in after.items()}
    hottest = max(spent, key=lambda native_id: spent[native_id], default=None)
    place, share = (None, 0.0) if hottest is None or spent[hottest] <= 0 else _burning_line(hottest)
    return _Burnt(sorted(used, key=lambda one: -one.cpu_pct), place, share)


def _burning_line(native_id: int) -> tuple[Place | None, float]:
    """The line at which a thread burns the most, and its share of what the thread burns."""
    burnt = stacks.sample_burning(native_id, _WATCH)
    if not burnt.lines or burnt.total <= 0:
        return None, 0.0
    frame, seconds = max(burnt.lines.items(), key=lambda item: item[1])
    return Place(file=frame.file, line=frame.line, function=frame.function), seconds / burnt.total


def _name(used: list[Usage]) -> str:
    return ", ".join(f"{_of(one.process)} {one.cpu_pct:.0f}%" for one in used[:_NAMED])


def _of(one: Process) -> str:
    return "this process" if one.pid == os.getpid() else f"{one.name} ({one.pid})"
