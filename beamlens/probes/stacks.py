"""What the threads are doing: one look, or samples over some seconds. Text and numbers only, never frames."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

from beamlens.probes import frames
from beamlens.probes.frames import Frame
from beamlens_actors import AbortSignal, clock

_OUR_THREADS = ("beamlens",)


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
    def ours(self) -> bool:
        """Whether it belongs to Beamlens: by its outermost frames, so an actor of the host's is not ours."""
        return any(frame.module.partition(".")[0] in ("beamlens", "beamlens_supervision") for frame in self.frames) or (
            all(frames.is_own_module(frame.module) or frames.is_standard_file(frame.file) for frame in self.frames)
            and (self.name.startswith(_OUR_THREADS))
        )

    @property
    def place(self) -> Frame | None:
        """The innermost frame of the user's, else of a library."""
        return frames.user_frame(self.frames)


def look(most_frames: int = 64) -> list[ThreadStack]:
    """Every thread but the calling one and our own. About 10 us a thread."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    own = threading.get_ident()
    found = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the only way to it
        if ident == own:
            continue
        thread = known.get(ident)
        stack = ThreadStack(
            ident,
            thread.native_id if thread is not None else None,
            thread.name if thread is not None else f"thread {ident}",
            frames.walk(frame, most_frames),
        )
        if not stack.ours:
            found.append(stack)
    return found


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
