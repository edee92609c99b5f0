"""Disks over time: how full, how they grow, when they are full, how busy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beamlens.detect import Growth, Reading
from beamlens.domains.system import mounts, proc
from beamlens.domains.system.mounts import Mount
from beamlens.domains.system.space import Space, Spaces
from beamlens_actors import clock

_EVERY = 2.0
_MOUNTS_EVERY = 30.0
_GROWTH_SHARE = 0.01
_MOST_LEFT = 4 * 3600.0
_FARTHEST = 30.0
_MB = 1e6
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Disk:
    """A mount at this moment.

    Attributes:
        mount: The mount.
        space: Its space, ``None`` when it is not known.
        failure: Why not.
        growth: What its growth looks like now.
    """

    mount: Mount
    space: Space | None
    failure: str
    growth: Reading

    @property
    def seconds_to_full(self) -> float | None:
        """Seconds until it is full, if it grows steadily and that is no more than what was seen allows to say.

        At most four hours, and at most thirty times as long as the growth has been seen.
        """
        left = self.growth.data.get("seconds_to_limit") if self.growth.active else None
        if left is None or left > min(_MOST_LEFT, _FARTHEST * self.growth.data["seconds"]):
            return None
        return left


class _Follower:
    """Growth of one disk: within a minute, and within half an hour."""

    def __init__(self, mount: Mount, total: int) -> None:
        self.total = total
        options = {"unit": "MB", "what": f"{mount.path} ({mount.kind})", "limit": lambda: self.total / _MB}
        least = _GROWTH_SHARE * total / _MB
        self._growths = (Growth(least=least, **options), Growth(least=least, bucket=60.0, **options))  # type: ignore[arg-type]

    def update(self, at: float, space: Space) -> Reading:
        self.total = space.total
        fast, slow = (growth.update(at, space.used / _MB) for growth in self._growths)
        return fast if fast.active else slow


class Disks:
    """Follows the disks. Used by one thread at a time."""

    def __init__(self, root: Path, spaces: Spaces) -> None:
        self._root = root
        self._spaces = spaces
        self._mounts: tuple[float, list[Mount]] | None = None
        self._asked = float("-inf")
        self._followers: dict[str, _Follower] = {}
        self._disks: list[Disk] = []

    def look(self, wait: float = 0.0) -> list[Disk]:
        """The disks; asked anew every two seconds.

        Args:
            wait: Seconds to wait for answers; without it, they are there at the next look.
        """
        now = clock.monotonic()
        if now - self._asked < _EVERY and not (wait and not self._disks):
            return self._disks
        self._asked = now
        if self._mounts is None or now - self._mounts[0] > _MOUNTS_EVERY:
            self._mounts = now, mounts.read(self._root)
        known = self._spaces.ask(self._mounts[1], wait=wait)
        self._disks = [self._follow(now, mount, known[mount.path]) for mount in self._mounts[1] if mount.path in known]
        return self._disks

    def _follow(self, now: float, mount: Mount, known: Space | str) -> Disk:
        if isinstance(known, str) or not known.total:
            self._followers.pop(mount.path, None)
            return Disk(mount, None, known if isinstance(known, str) else "has no size", Reading(active=False))
        follower = self._followers.get(mount.path)
        # A disk that was made larger begins anew.
        if follower is None or abs(follower.total - known.total) > _GROWTH_SHARE * known.total:
            follower = self._followers[mount.path] = _Follower(mount, known.total)
        return Disk(mount, known, "", follower.update(now, known))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one block device: bytes read and written, seconds in which it was busy."""

    read: int
    written: int
    busy: float


def traffic(root: Path) -> dict[str, Traffic]:
    """``major:minor`` to counters, of whole disks and partitions; about 0.1 ms. Empty where it is not told."""
    found = {}
    for line in proc.text(root / "proc/diskstats").splitlines():
        words = line.split()
        if len(words) >= 14 and words[2][:4] not in ("loop", "ram0") and int(words[3]) + int(words[7]) > 0:
            device = f"{words[0]}:{words[1]}"
            found[device] = Traffic(int(words[5]) * _SECTOR, int(words[9]) * _SECTOR, int(words[12]) / 1e3)
    return found


def rates(before: Mapping[str, Traffic], now: Mapping[str, Traffic], seconds: float) -> dict[str, dict[str, float]]:
    """Per device: MB read and written in a second, and percent of the time that it was busy."""
    return {
        device: {
            "read_mb_per_s": round(max(0, one.read - before[device].read) / seconds / _MB, 3),
            "written_mb_per_s": round(max(0, one.written - before[device].written) / seconds / _MB, 3),
            "busy_pct": round(min(100.0, 100 * max(0.0, one.busy - before[device].busy) / seconds), 1),
        }
        for device, one in now.items()
        if device in before
    }
