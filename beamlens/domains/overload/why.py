"""Why a queue grows: what those who take from it do, who puts, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import Any

from beamlens.domains.overload.queues import QueueLook
from beamlens.domains.overload.watch import Tracked
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import frames, pressure, source, stacks, tasks
from beamlens.probes.frames import Frame
from beamlens.probes.source import line_of
from beamlens.probes.stacks import ThreadStack
from beamlens_actors import AbortSignal, clock

_SECONDS, _LOOKS = 1.5, 30
_PUTS = frozenset(
    {
        "put",
        "put_nowait",
        "submit",
        "map",
        "run_in_executor",
        "to_thread",
        "tell",
        "ask",
        "create_task",
        "ensure_future",
    }
)
_PUTTING_FILES = ("concurrent/futures/thread.py", "/queue.py", "asyncio/base_events.py", "asyncio/queues.py")
# In these a consumer waits for work; what it works at is beneath them.
_TAKING = frozenset({"Queue.get", "_worker", "BaseEventLoop._run_once", "ThreadWaker.park"})
_MOST_OF_THEM, _BUSY, _BURNING = 0.5, 0.8, 0.5
_MOST_TASKS = 300


@dataclass(slots=True)
class Doing:
    """What the consumers of a queue were seen doing.

    Attributes:
        consumers: How many threads.
        looks: Looks at a consumer.
        idle: Of these, how many found it waiting for work.
        places: Where the others found it: the user's line.
        cpu: Processors that they used together, or waited for; ``None``: not known. With one interpreter lock, threads
            that only compute come to one together, however many they are.
        putting: Of the looks, how many found it waiting to put into another queue.
    """

    consumers: int = 0
    looks: int = 0
    idle: int = 0
    places: Counter[Frame] = field(default_factory=Counter)
    cpu: float | None = None
    putting: int = 0

    @property
    def busy(self) -> float:
        """Share of looks that did not find a consumer waiting for work."""
        return 0.0 if not self.looks else 1 - self.idle / self.looks

    @property
    def top(self) -> tuple[Frame, float] | None:
        """The line where they are most often, and its share of all looks."""
        if not self.places:
            return None
        frame, count = self.places.most_common(1)[0]
        return frame, count / self.looks

    @property
    def verb(self) -> str:
        """What they do there, as far as the processor time tells."""
        if self.cpu is None:
            return "are at"
        return "burn the processor at" if self.cpu >= _BURNING else "wait at"


@dataclass(slots=True)
class Seen:
    """Looks at all threads over a second and a half.

    Attributes:
        seconds: How long.
        doing: Key of a queue to what its consumers do.
        putters: Lines of the user's that were seen putting something somewhere.
        running: (file, function) of the user's functions on stacks of threads that consume nothing.
    """

    seconds: float = 0.0
    doing: dict[int, Doing] = field(default_factory=dict)
    putters: Counter[Place] = field(default_factory=Counter)
    running: set[tuple[str, str]] = field(default_factory=set)


def look_closer(wanted: Sequence[QueueLook], seconds: float = _SECONDS) -> Seen:
    """Look at the stacks of all threads, 30 times; 10 us a thread each time."""
    seen = Seen(doing={look.key: Doing(len(look.consumers)) for look in wanted})
    owners = {ident: look.key for look in reversed(wanted) for ident in look.consumers}
    cpu_before = _cpu(owners)
    abort, began = AbortSignal(), clock.monotonic()
    for _ in range(_LOOKS):
        for stack in stacks.look(32):
            _note_putting(seen, stack)
            key = owners.get(stack.ident)
            if key is None:
                seen.running |= {(frame.file, frame.function) for frame in stack.frames if _is_users(frame)}
            else:
                _note_consumer(seen.doing[key], stack)
        abort.wait(seconds / _LOOKS)
    took, cpu_after = clock.monotonic() - began, _cpu(owners)
    seen.seconds = took
    for key, doing in seen.doing.items():
        own = [ident for ident, owner in owners.items() if owner == key]
        burnt = [cpu_after[one] - cpu_before[one] for one in own if one in cpu_before and one in cpu_after]
        doing.cpu = sum(burnt) / took if burnt and took > 0 else None
    return seen


def _cpu(owners: dict[int, int]) -> dict[int, float]:
    """Seconds that each consumer ran or waited for a processor: on a busy machine that is one and the same wish."""
    delays, found = pressure.run_delays(), {}
    for stack in stacks.look(1):
        if stack.ident in owners and stack.native_id is not None:
            seconds = stacks.thread_cpu_seconds(stack.native_id)
            if seconds is not None:
                found[stack.ident] = seconds + delays.get(stack.native_id, 0.0)
    return found


def _is_users(frame: Frame) -> bool:
    return not frames.is_own_module(frame.module) and not frames.is_standard_file(frame.file)


def _note_consumer(doing: Doing, stack: ThreadStack) -> None:
    doing.looks += 1
    place = stack.place
    if place is None or _waits_for_work(stack):
        doing.idle += 1
        return
    doing.places[place] += 1
    doing.putting += any(frame.function.endswith("Queue.put") for frame in stack.frames[:4])


def _waits_for_work(stack: ThreadStack) -> bool:
    """Whether it stands in the call that takes from its queue: that of an executor's worker is the worker itself."""
    for frame in stack.frames:
        if frame.function in _TAKING:
            return True
        if _is_users(frame):
            return False
    return True


def _note_putting(seen: Seen, stack: ThreadStack) -> None:
    for inner, outer in zip(stack.frames, stack.frames[1:], strict=False):
        name = inner.function.rpartition(".")[2]
        if name in _PUTS and inner.file.endswith(_PUTTING_FILES) and _is_users(outer):
            seen.putters[Place(file=outer.file, line=max(1, outer.line), function=outer.function)] += 1
            return


def explain(
    tracked: Tracked, seen: Seen, before: QueueLook, after: QueueLook | None, content: Callable[[], list[Any]]
) -> list[Evidence]:
    """Weigh what was seen of one queue."""
    look = after or tracked.look
    doing = seen.doing.get(look.key, Doing())
    if look.kind in ("tasks", "loop") and (waiting := _tasks_wait()) is not None:
        return [_of_tasks(tracked, look, *waiting)]
    grown = look.depth - before.depth
    change = f"{abs(grown)} {'more' if grown >= 0 else 'fewer'} than {seen.seconds:.1f} s before"
    parts = [f"the {look.name} holds {look.depth} items, {change}"]
    place: Place | None = None
    conclusive = False
    top = doing.top
    if top is not None:
        frame, share = top
        place = Place(file=frame.file, line=max(1, frame.line), function=frame.function)
        parts.append(
            f"its {doing.consumers} consumers {doing.verb} {place} in {100 * share:.0f} % of looks: {line_of(place)}"
        )
        conclusive = doing.busy >= _BUSY and share >= _MOST_OF_THEM and grown >= 0
    elif doing.looks:
        parts.append(f"its {doing.consumers} consumers wait for work in {100 * (1 - doing.busy):.0f} % of looks")
    else:
        parts.append("who takes from it was not seen")
    put = who_puts(seen)
    if put is not None:
        parts.append(f"items are put at {put}")
    if what := _what(content()):
        parts.append(what)
    data = {"queue": look.name, "depth": look.depth, "grown": grown, "consumers": doing.consumers}
    if doing.cpu is not None:
        data["processors"] = round(doing.cpu, 2)
    strength = Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING
    return [Evidence(text="; ".join(parts), cause=CauseKind.QUEUE_OVERLOAD, strength=strength, place=place, data=data)]


def who_puts(seen: Seen) -> Place | None:
    """The line that puts: seen doing it, else the only one in the functions that run now."""
    if seen.putters:
        return seen.putters.most_common(1)[0][0]
    found: dict[tuple[str, int], Place] = {}
    for file, function in seen.running:
        parsed = source.parse(file)
        if parsed is not None:
            for place in source.call_sites(parsed, _PUTS):
                if place.function == function:
                    found[place.file, place.line] = place
    return next(iter(found.values())) if len(found) == 1 else None


def _what(items: list[Any]) -> str:
    """Which functions an executor has in its queue, by the next ones."""
    codes = Counter(code for item in items if (code := _code(_held(item, "fn"))) is not None)
    if not codes:
        return ""
    code, count = codes.most_common(1)[0]
    place = Place(file=code.co_filename, line=max(1, code.co_firstlineno), function=code.co_qualname)
    return f"{count} of the next {len(items)} are calls of {place}"


def _held(item: Any, name: str) -> Any:
    if type(item).__module__ != "concurrent.futures.thread":
        return None
    try:
        return object.__getattribute__(item, "__dict__").get(name)
    except AttributeError:
        return None


def _code(function: Any) -> CodeType | None:
    if type(function) is MethodType:
        function = function.__func__
    return function.__code__ if type(function) is FunctionType else None


# -- asyncio ---------------------------------------------------------------------------------------------------------


def _tasks_wait() -> tuple[Place, int, int] | None:
    """The line at which most tasks wait, how many of them, and of how many that were looked at."""
    places: Counter[Place] = Counter()
    looked = 0
    for row in tasks.waiting(most=_MOST_TASKS):
        looked += row.count
        if row.place is not None:
            places[row.place] += row.count
    if not places:
        return None
    place, count = places.most_common(1)[0]
    return place, count, looked


def _of_tasks(tracked: Tracked, look: QueueLook, place: Place, count: int, looked: int) -> Evidence:
    text = (
        f"the {look.name} are {tracked.look.depth}; {count} of {looked} that were looked at wait at {place}: "
        f"{line_of(place)}"
    )
    strength = Strength.CONCLUSIVE if count >= _MOST_OF_THEM * looked else Strength.SUPPORTING
    data = {"queue": look.name, "tasks": look.depth, "at_the_line": count, "looked_at": looked}
    return Evidence(text=text, cause=CauseKind.QUEUE_OVERLOAD, strength=strength, place=place, data=data)
