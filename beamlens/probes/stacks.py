"""What the threads are doing: one look, or samples over some seconds. Text and numbers only, never frames."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from beamlens.probes import frames, own_threads
from beamlens.probes.frames import Frame
from beamlens_actors import AbortSignal, clock
from beamlens_actors.thread_frames import thread_frames


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread at one moment.

    Attributes:
        ident: Python's id of it.
        native_id: The operating system's id, ``None`` when it is not known.
        name: Its name.
        frames: Innermost first.
    """

    ident: int
    native_id: int | None
    name: str
    frames: tuple[Frame, ...]

    @property
    def place(self) -> Frame | None:
        """The innermost frame of the user's, else of a library."""
        return frames.user_frame(self.frames)


def look(most_frames: int = 64) -> list[ThreadStack]:
    """Every thread but the calling one and our own. About 10 us a thread."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    own = threading.get_ident()
    found = []
    for ident, frame in thread_frames().items():
        if ident == own:
            continue
        thread = known.get(ident)
        stack = ThreadStack(
            ident,
            thread.native_id if thread is not None else None,
            thread.name if thread is not None else f"thread {ident}",
            frames.walk(frame, most_frames),
        )
        if not own_threads.is_own(ident, stack.name, stack.frames):
            found.append(stack)
    return found


_WAITING_IN = frozenset({"threading", "queue", "selectors", "socket", "ssl", "subprocess", "asyncio.base_events"})


@dataclass(slots=True)
class BurntLines:
    """Where one thread spent its CPU time.

    Attributes:
        lines: User frame to seconds.
        unseen: Seconds that were burnt between two looks that both found the thread waiting.
    """

    lines: Counter[Frame] = field(default_factory=Counter)
    unseen: float = 0.0

    @property
    def total(self) -> float:
        """All seconds that were burnt."""
        return sum(self.lines.values()) + self.unseen


def sample_burning(
    native_id: int, seconds: float = 2.0, hz: float = 100.0, abort: AbortSignal | None = None
) -> BurntLines:
    """Look at one thread again and again, and charge the CPU time since the last look to the line it stands at.

    A thread can be looked at only when it gives the GIL away, so counting looks alone would blame the line at which it
    waits for the next piece of work, not the call that kept the GIL. The time decides; a line at which it waits in
    Python's own code is never charged. Without ``schedstat`` each look counts the same.
    """
    abort = abort or AbortSignal()
    burnt = BurntLines()
    deadline = clock.monotonic() + seconds
    before = thread_cpu_seconds(native_id)
    while clock.monotonic() < deadline and not abort.wait(1.0 / hz):
        stack = next((stack for stack in look(32) if stack.native_id == native_id), None)
        if stack is None or stack.place is None:
            continue
        now = thread_cpu_seconds(native_id)
        spent = 1.0 / hz if now is None or before is None else now - before
        before = now
        if stack.frames[0].module in _WAITING_IN:
            burnt.unseen += spent
        else:
            burnt.lines[stack.place] += spent  # type: ignore[assignment]
    return burnt


def thread_cpu_seconds(native_id: int) -> float | None:
    """CPU seconds of a thread, to the nanosecond; ``None`` where the system does not tell."""
    try:
        with open(f"/proc/self/task/{native_id}/schedstat", "rb") as file:  # noqa: PTH123 - often, and small
            return int(file.read().split()[0]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


@dataclass(slots=True)
class Samples:
    """Looks over some time.

    Attributes:
        seconds: How long.
        looks: How many.
        lines: Native id to how often each innermost user frame was seen there.
        names: Native id to thread name.
    """

    seconds: float = 0.0
    looks: int = 0
    lines: dict[int, Counter[Frame]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def functions(self) -> set[tuple[str, str]]:
        """(file, function) of every user frame that was seen innermost."""
        return {(frame.file, frame.function) for counter in self.lines.values() for frame in counter}


def sample(seconds: float = 1.5, hz: float = 80.0, abort: AbortSignal | None = None) -> Samples:
    """Look again and again.

    Args:
        seconds: How long.
        hz: Looks a second, if the interpreter lets us.
        abort: Ends it early.
    """
    abort = abort or AbortSignal()
    samples = Samples()
    began = clock.monotonic()
    while (passed := clock.monotonic() - began) < seconds and not abort.aborted:
        for stack in look(32):
            place = stack.place
            if place is not None and stack.native_id is not None:
                samples.lines.setdefault(stack.native_id, Counter())[place] += 1
                samples.names[stack.native_id] = stack.name
        samples.looks += 1
        samples.seconds = passed
        abort.wait(1.0 / hz)
    samples.seconds = clock.monotonic() - began
    return samples
