"""What the sampler has seen: time by stack and by thread, in windows of ten seconds, the last five minutes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack

WINDOW = 10.0
WINDOWS = 30
_MOST_STACKS = 300
_MOST_THREADS = 300

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Spent:
    """Seconds at one stack, of all threads together."""

    wall: float = 0.0
    cpu: float = 0.0
    looks: int = 0


@dataclass(slots=True)
class ThreadCpu:
    """CPU seconds of one thread in a window."""

    ident: int
    native_id: int | None
    name: str
    cpu: float = 0.0


@dataclass(slots=True)
class Window:
    """Up to ten seconds.

    Attributes:
        began: On the monotonic clock.
        seconds: How much time it covers.
        looks: How often the threads were looked at.
        stacks: By stack; 300 at most.
        threads: CPU by thread ident; 300 at most.
        cpu: CPU seconds of the process.
        unseen: CPU seconds that threads burnt between two looks which both found them waiting.
        dropped: Looks that were not kept by stack, because there were too many different ones.
    """

    began: float
    seconds: float = 0.0
    looks: int = 0
    stacks: dict[Stack, Spent] = field(default_factory=dict)
    threads: dict[int, ThreadCpu] = field(default_factory=dict)
    cpu: float = 0.0
    unseen: float = 0.0
    dropped: int = 0

    def add(self, stack: Stack, wall: float, cpu: float) -> None:
        """Count time at a stack."""
        spent = self.stacks.get(stack)
        if spent is None:
            if len(self.stacks) >= _MOST_STACKS:
                self.dropped += 1
                return
            spent = self.stacks[stack] = Spent()
        spent.wall += wall
        spent.cpu += cpu
        spent.looks += 1

    def burn(self, ident: int, native_id: int | None, name: str, cpu: float) -> None:
        """Count CPU of a thread."""
        found = self.threads.get(ident)
        if found is None or found.native_id != native_id:
            if len(self.threads) >= _MOST_THREADS:
                return
            found = self.threads[ident] = ThreadCpu(ident, native_id, name)
        found.cpu += cpu


@dataclass(frozen=True, slots=True)
class Hot:
    """A line of the program and the time at it.

    Attributes:
        frame: The innermost frame of the user's, else of a library.
        share: Share of all that was counted, 0 to 1.
        seconds: CPU seconds, or seconds where CPU is not told by thread.
        before: Its share in the time before; ``None`` when that was not asked for.
    """

    frame: Frame
    share: float
    seconds: float
    before: float | None = None


class Profile:
    """The windows, the newest last. Written by the sampler's thread, read from any."""

    def __init__(self) -> None:
        self.windows: deque[Window] = deque(maxlen=WINDOWS)

    def at(self, now: float) -> Window:
        """The window of this moment, a new one if it is time."""
        last = self.windows[-1] if self.windows else None
        if last is None or now - last.began >= WINDOW:
            last = Window(now)
            self.windows.append(last)
        return last

    def between(self, since: float, until: float) -> list[Window]:
        """The windows that overlap a time, the oldest first."""
        return [w for w in self.windows.copy() if w.began + max(w.seconds, 0.001) > since and w.began < until]

    def covered(self, now: float) -> float:
        """Seconds that it knows of."""
        windows = self.windows.copy()
        return now - windows[0].began if windows else 0.0


def hot(windows: Iterable[Window]) -> dict[Frame, float]:
    """CPU seconds by line of the program, where CPU is told by thread; else seconds of threads that did not wait."""
    by_cpu: dict[Frame, float] = {}
    by_wall: dict[Frame, float] = {}
    for window in windows:
        for stack, spent in _copied(window.stacks):
            if stack.place is None:
                continue
            if spent.cpu > 0.0:
                by_cpu[stack.place] = by_cpu.get(stack.place, 0.0) + spent.cpu
            elif not stack.waits:
                by_wall[stack.place] = by_wall.get(stack.place, 0.0) + spent.wall
    return by_cpu or by_wall


def hottest(windows: Iterable[Window], limit: int) -> list[Hot]:
    """The lines with most time, the hottest first."""
    seconds = hot(windows)
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda item: -item[1])[:limit]
    return [Hot(frame, spent / total, spent) for frame, spent in ranked if total > 0]


def changes(before: Iterable[Window], after: Iterable[Window], limit: int) -> list[Hot]:
    """What is hot now that was not before: the lines whose share of the time rose, by how much it did."""
    was, now = hot(before), hot(after)
    was_total, total = sum(was.values()) or 1.0, sum(now.values()) or 1.0
    rows = [Hot(frame, spent / total, spent, was.get(frame, 0.0) / was_total) for frame, spent in now.items()]
    risen = [row for row in rows if row.before is not None and row.share - row.before > 0.02]
    return sorted(risen, key=lambda row: (row.before or 0.0) - row.share)[:limit]


def burners(windows: Iterable[Window]) -> dict[int, ThreadCpu]:
    """CPU seconds by thread ident over several windows."""
    found: dict[int, ThreadCpu] = {}
    for window in windows:
        for ident, one in _copied(window.threads):
            sum_ = found.get(ident)
            if sum_ is None or sum_.native_id != one.native_id:
                sum_ = found[ident] = ThreadCpu(ident, one.native_id, one.name)
            sum_.cpu += one.cpu
    return found


def _copied(table: dict[K, V]) -> list[tuple[K, V]]:
    """The sampler may add to it meanwhile; one call of C's is not interrupted."""
    return list(table.items())
