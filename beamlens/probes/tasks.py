"""Tasks of asyncio, read from outside: how many, of which coroutine, what they wait at, how old at least."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from beamlens.evidence import Place
from beamlens.probes import frames
from beamlens.probes.frames import Frame
from beamlens_actors import clock

_MOST = 2000
_SLICE = 200
_MOST_CHAIN = 50
# Of a coroutine, a generator and an asynchronous generator: its frame, and what it waits for.
_SUSPENDED = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))
_NAMED = "Task-"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks that wait at one line.

    Attributes:
        coroutine: What the tasks run.
        place: The innermost line of the user's, else of a library, ``None`` for one that has not begun or runs now.
        awaits: The innermost function that it awaits, such as ``Queue.get (asyncio.queues)``.
        count: How many tasks.
        oldest_s: At least so old is the oldest, ``None`` when not known.
    """

    coroutine: str
    place: Place | None
    awaits: str
    count: int
    oldest_s: float | None


@dataclass(slots=True)
class Ages:
    """How old a task is, by its default name: the numbers count up. Notes the highest number from time to time."""

    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=360))

    def note(self, highest: int) -> None:
        """The highest number there is now."""
        if highest and (not self._seen or highest > self._seen[-1][1]):
            self._seen.append((clock.monotonic(), highest))

    def at_least(self, number: int) -> float | None:
        """Seconds since it surely existed."""
        for at, highest in self._seen.copy():
            if number and number <= highest:
                return clock.monotonic() - at
        return None


def count() -> int:
    """How many tasks there are, of all loops, with some that have ended and are not collected yet; about 1 us."""
    return sum(len(getattr(table, "data", table)) for table in _tables())


def _tables() -> list[Any]:
    module = sys.modules.get("asyncio.tasks")
    # The first up to 3.11, the others from 3.12 on; tasks that nobody registered there are in none.
    found = [getattr(module, name, None) for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks")]
    return [table for table in found if table is not None]


def tasks(most: int = _MOST) -> list[Any]:
    """Up to `most` tasks that have not ended, as the objects themselves: for a moment only."""
    return list(itertools.islice(_each(), most))


def by_loop() -> list[tuple[Any, int]]:
    """The loops that have tasks, as the objects themselves, each with how many have not ended; about 1 us a task."""
    found: dict[int, tuple[Any, int]] = {}
    for task in _each():
        try:
            loop = task.get_loop()
        except Exception:  # noqa: BLE001, S112 - somebody's own kind of task
            continue
        found[id(loop)] = loop, found.get(id(loop), (loop, 0))[1] + 1
    return list(found.values())


def _each() -> Iterator[Any]:
    for table in _tables():
        for reference in _copied(getattr(table, "data", table)):
            task: Any = reference() if callable(reference) and not hasattr(reference, "get_coro") else reference
            if task is not None and not _done(task):
                yield task


def _done(task: Any) -> bool:
    try:
        return bool(task.done())
    except Exception:  # noqa: BLE001 - somebody's own kind of task
        return True


def _copied(table: Any) -> list[Any]:
    for _ in range(3):
        try:
            return list(table)
        except RuntimeError:  # it changed meanwhile
            continue
    return []


def highest(most: int = _MOST) -> int:
    """The highest number in the default names of the tasks; about 1 us a task."""
    return max((_number(task) for task in tasks(most)), default=0)


def _number(task: Any) -> int:
    try:
        name = task.get_name()
        number = name.removeprefix(_NAMED)
        return int(number) if name.startswith(_NAMED) and number.isdecimal() else 0
    except Exception:  # noqa: BLE001 - somebody's own kind of task
        return 0


def waiting(ages: Ages | None = None, most: int = _MOST) -> list[Waiting]:
    """What the tasks wait at, the place with most tasks first. 2000 tasks at most, in slices; about 5 us a task."""
    counts: Counter[tuple[str, Place | None, str]] = Counter()
    oldest: dict[tuple[str, Place | None, str], int] = {}
    most_recent = 0
    for number, task in enumerate(tasks(most)):
        if number % _SLICE == _SLICE - 1:
            time.sleep(0)
        try:
            key, named = _describe(task)
        except Exception:  # noqa: BLE001, S112 - somebody's own kind of task
            continue
        counts[key] += 1
        most_recent = max(most_recent, named)
        if named:
            oldest[key] = min(named, oldest.get(key, named))
    if ages is not None:
        ages.note(most_recent)
    return [
        Waiting(*key, count, None if ages is None else ages.at_least(oldest.get(key, 0)))
        for key, count in counts.most_common()
    ]


def _describe(task: Any) -> tuple[tuple[str, Place | None, str], int]:
    coroutine = task.get_coro()
    chain = list(_chain(coroutine))
    place = frames.user_place(chain)
    inner = chain[0] if chain else None
    awaits = "" if inner is None or not frames.is_standard_file(inner.file) else f"{inner.function} ({inner.module})"
    return (getattr(coroutine, "__qualname__", type(coroutine).__name__), place, awaits), _number(task)


def _chain(suspended: Any) -> Iterator[Frame]:
    """The frames of a coroutine and of what it awaits, innermost first; none while it runs."""
    found: list[FrameType] = []
    for _ in range(_MOST_CHAIN):
        frame, inner = _step(suspended)
        if frame is None:
            break
        found.append(frame)
        suspended = inner
    for frame in reversed(found):
        yield from frames.walk(frame, 1)


def _step(suspended: Any) -> tuple[FrameType | None, Any]:
    for frame_name, inner_name in _SUSPENDED:
        frame = getattr(suspended, frame_name, None)
        if isinstance(frame, FrameType):
            return frame, getattr(suspended, inner_name, None)
    return None, None
