"""The machine over time: counters become rates between two looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from beamlens.domains.system import cgroup, cpu, disks, memory, network, pressure
from beamlens.domains.system.cgroup import Files, Group
from beamlens.domains.system.cpu import Processors, Usage
from beamlens.domains.system.disks import Disk, Disks, Traffic
from beamlens.domains.system.memory import Memory
from beamlens.domains.system.network import Network
from beamlens.domains.system.pressure import Pressure, Resource
from beamlens.domains.system.space import Spaces
from beamlens.probes import limits
from beamlens_actors import clock

_CLOSEST = 0.5
_PAGE_MB = 4096 / 1e6
_FEW_SEGMENTS = 50.0
_RECENT = 60.0
_STEP = 1.0
_FOLDERS_EVERY = 30.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Everything that was read at one moment; ``None`` is what this system does not tell."""

    at: float
    processors: Processors | None
    memory: Memory | None
    group: Group
    network: Network | None
    traffic: Mapping[str, Traffic]


@dataclass(frozen=True, slots=True)
class Between:
    """What happened between two looks; ``None`` is what is not told.

    Attributes:
        seconds: Between them.
        usage: The processors.
        cores: Each core.
        switches_per_s: Context switches.
        swap_in_mb_per_s: Read back from swap.
        swap_out_mb_per_s: Written to swap.
        throttled_pct: Percent of the control group's scheduling periods in which it had to wait.
        throttled_ms_per_s: How long it waited.
        high_per_s: How often ``memory.high`` slowed it down.
        interfaces: Network interfaces, by name.
        retransmit_pct: TCP segments that were sent again, of those sent; ``None`` also when few were sent.
        devices: Block devices, by ``major:minor``.
    """

    seconds: float
    usage: Usage | None
    cores: Mapping[str, Usage]
    switches_per_s: float | None
    swap_in_mb_per_s: float | None
    swap_out_mb_per_s: float | None
    throttled_pct: float | None
    throttled_ms_per_s: float | None
    high_per_s: float | None
    interfaces: Mapping[str, Mapping[str, float]]
    retransmit_pct: float | None
    devices: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Host:
    """One look at the machine.

    Attributes:
        counters: What was read.
        between: What happened since the look before; ``None`` at the first one.
        load: Load averages.
        cores: Cores that this process may use.
        machine_cores: Cores of the machine.
        pressure: Stall information by resource.
        pressure_of: ``cgroup``, ``host`` or ``""``.
        disks: The disks.
        oom_kills_1m: Processes killed for want of memory in the last minute.
        clock_step_s: The last step of the wall clock in the last minute, 0 when there was none.
    """

    counters: Counters
    between: Between | None
    load: tuple[float, float, float] | None
    cores: float | None
    machine_cores: int | None
    pressure: Mapping[Resource, Pressure]
    pressure_of: str
    disks: list[Disk]
    oom_kills_1m: int | None
    clock_step_s: float

    def pressed(self, resource: Resource, kind: str) -> float | None:
        """Percent of the last ten seconds in which ``some`` or ``full`` tasks waited for a resource."""
        return self.pressure.get(resource, {}).get(kind, {}).get("avg10")


class Looker:
    """Looks at the machine, by one thread at a time: `look` holds a lock."""

    def __init__(self, root: Path, spaces: Spaces) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._disks = Disks(root, spaces)
        self._before: Counters | None = None
        self._between: Between | None = None
        self._killed: deque[tuple[float, int]] = deque(maxlen=64)
        self._kills: int | None = None
        self._offset: float | None = None
        self._step = (float("-inf"), 0.0)
        self._bounds: tuple[float, Files, float | None] | None = None

    def look(self, wait: float = 0.0) -> Host:
        """Look now; about 1 ms.

        Args:
            wait: Seconds to wait for disks that were not yet asked.
        """
        with self._lock:
            return self._look(wait)

    def _limits(self) -> tuple[Files, float | None]:
        """The control groups' files and the cores that may be used, looked up every half minute."""
        now, held = clock.monotonic(), self._bounds
        if held is None or now - held[0] > _FOLDERS_EVERY:
            cores = limits.read(self.root).cores
            held = self._bounds = now, Files(self.root), None if cores is None else cores.value
        return held[1], held[2]

    def _look(self, wait: float) -> Host:
        files, cores = self._limits()
        now = Counters(
            clock.monotonic(),
            cpu.read(self.root),
            memory.read(self.root),
            cgroup.read(files),
            network.read(self.root),
            disks.traffic(self.root),
        )
        before = self._before
        if before is None:
            self._before = now
        elif now.at - before.at >= _CLOSEST:
            self._between, self._before = _compare(before, now), now
        told, of = pressure.read(self.root, files)
        return Host(
            counters=now,
            between=self._between,
            load=cpu.load(self.root),
            cores=cores,
            machine_cores=len(now.processors.cores) or None if now.processors else None,
            pressure=told,
            pressure_of=of,
            disks=self._disks.look(wait),
            oom_kills_1m=self._count_kills(now),
            clock_step_s=self._clock_step(now.at),
        )

    def _count_kills(self, now: Counters) -> int | None:
        """Of the machine and of the control group: a kill in the group is counted by both, so the larger one."""
        counts = (now.group.oom_kills, now.memory.oom_kills if now.memory is not None else None)
        known = [count for count in counts if count is not None]
        if not known:
            return None
        total = max(known)
        if self._kills is not None and total > self._kills:
            self._killed.append((now.at, total - self._kills))
        self._kills = total
        return sum(count for at, count in self._killed if now.at - at <= _RECENT)

    def _clock_step(self, now: float) -> float:
        """A step of the wall clock against the one that cannot be set: set by hand, by NTP, or a machine that slept."""
        offset = time.time() - time.monotonic()
        if self._offset is not None and abs(offset - self._offset) >= _STEP:
            self._step = now, round(offset - self._offset, 3)
        self._offset = offset
        return self._step[1] if now - self._step[0] <= _RECENT else 0.0


def _compare(before: Counters, now: Counters) -> Between:
    seconds = now.at - before.at
    between = Between(seconds, None, {}, None, None, None, None, None, None, {}, None, {})
    if before.processors is not None and now.processors is not None:
        earlier, later = before.processors, now.processors
        cores = {name: cpu.usage(earlier.cores.get(name, {}), times) for name, times in later.cores.items()}
        between = replace(
            between,
            usage=cpu.usage(earlier.total, later.total),
            cores={name: used for name, used in cores.items() if used is not None},
            switches_per_s=_rate(earlier.switches, later.switches, seconds),
        )
    if before.memory is not None and now.memory is not None:
        read_back = _rate(before.memory.swapped_in, now.memory.swapped_in, seconds, _PAGE_MB)
        written = _rate(before.memory.swapped_out, now.memory.swapped_out, seconds, _PAGE_MB)
        between = replace(between, swap_in_mb_per_s=read_back, swap_out_mb_per_s=written)
    if before.network is not None and now.network is not None:
        between = replace(
            between,
            interfaces=network.rates(before.network, now.network, seconds),
            retransmit_pct=_retransmits(before.network, now.network, seconds),
        )
    return replace(
        between,
        throttled_pct=_throttled(before.group, now.group),
        throttled_ms_per_s=_rate(before.group.throttled_seconds, now.group.throttled_seconds, seconds, 1e3),
        high_per_s=_rate(before.group.high_events, now.group.high_events, seconds),
        devices=disks.rates(before.traffic, now.traffic, seconds),
    )


def _rate(before: float | None, now: float | None, seconds: float, scale: float = 1.0) -> float | None:
    if before is None or now is None or now < before:
        return None
    return round((now - before) * scale / seconds, 3)


def _throttled(before: Group, now: Group) -> float | None:
    if before.periods is None or now.periods is None or before.throttled is None or now.throttled is None:
        return None
    periods = now.periods - before.periods
    # An idle group has no periods: then nothing waits.
    return round(100 * max(0, now.throttled - before.throttled) / periods, 2) if periods > 0 else 0.0


def _retransmits(before: Network, now: Network, seconds: float) -> float | None:
    sent = _rate(before.sent, now.sent, seconds)
    again = _rate(before.again, now.again, seconds)
    if sent is None or again is None or sent < _FEW_SEGMENTS:
        return None
    return round(100 * again / sent, 2)
