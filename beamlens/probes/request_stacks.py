"""What the requests under way are doing: the stack of the thread or task that serves each, as text and numbers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from beamlens.probes import frames
from beamlens.probes.frames import Frame
from beamlens.probes.request_context import InboundRequest
from beamlens_actors import AbortSignal, clock
from beamlens_actors.thread_frames import thread_frames

# What calls the application: our door, and what runs a task of Celery's.
_CALLERS = ("beamlens.integrations", "celery.app.trace")
_LOOPS = ("asyncio", "uvloop", "uvicorn", "hypercorn", "anyio", "gunicorn", "daphne")
_MOST_FRAMES = 64
_MOST_REQUESTS = 50
# Of a coroutine, a generator and an asynchronous generator: its frame, and what it waits for.
_SUSPENDED = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


@dataclass(frozen=True, slots=True)
class Doing:
    """What a request does at one moment.

    Attributes:
        stack: Innermost first, from the application inwards; empty when it could not be found.
        blocks: It is the one that its event loop runs now, and no other can.
    """

    stack: tuple[Frame, ...]
    blocks: bool = False

    @property
    def at(self) -> Frame | None:
        """The innermost frame of the user's, else of a library."""
        return frames.user_frame(self.stack)


def shared_threads(requests: Iterable[InboundRequest]) -> frozenset[int]:
    """Threads that serve several requests without asyncio, as greenlets do: whose stack it is cannot be told."""
    counts = Counter(request.thread for request in requests if request.task is None)
    return frozenset(thread for thread, count in counts.items() if count > 1)


def doing(
    request: InboundRequest,
    threads: dict[int, FrameType] | None = None,
    shared: frozenset[int] = frozenset(),
) -> Doing:
    """What a request does now.

    Args:
        request: One under way.
        threads: `thread_frames()`, when several are looked at.
        shared: `shared_threads` of all that are under way.
    """
    running = thread_frames() if threads is None else threads
    reference = request.task
    if reference is None:
        if request.thread in shared:
            return Doing(())
        return Doing(_within(frames.walk(running.get(request.thread), _MOST_FRAMES)))
    task = reference()
    if task is None:
        return Doing(())
    coroutine = task.get_coro()
    if getattr(coroutine, "cr_running", False):
        return Doing(_within(frames.walk(running.get(request.thread), _MOST_FRAMES)), blocks=True)
    chain = _awaiting(coroutine)
    waiting = tuple(text for frame in chain for text in frames.walk(frame, 1))
    worker = _worker_of(chain[0]) if chain else None
    if worker is not None:
        waiting = (*_within(frames.walk(running.get(worker), _MOST_FRAMES)), *waiting)
    return Doing(_within(waiting))


def _awaiting(coroutine: Any) -> list[FrameType]:
    """The frames of the coroutines that a suspended task is in, innermost first."""
    found: list[FrameType] = []
    while coroutine is not None and len(found) < _MOST_FRAMES:
        for frame, awaited in _SUSPENDED:
            if hasattr(coroutine, frame):
                found.append(getattr(coroutine, frame))
                coroutine = getattr(coroutine, awaited)
                break
        else:
            break
    return [frame for frame in reversed(found) if frame is not None]


def _worker_of(frame: FrameType | None) -> int | None:
    """The thread that anyio lets a synchronous function run in (Starlette, FastAPI), from its own waiting frame."""
    if frame is None or frame.f_globals.get("__name__") != "anyio._backends._asyncio":
        return None
    worker = frame.f_locals.get("worker")
    return worker.ident if isinstance(worker, threading.Thread) else None


def _within(stack: Sequence[Frame]) -> tuple[Frame, ...]:
    """Without the server that calls the application: up to our door, or to the event loop."""
    for index, frame in enumerate(stack):
        if frame.module.startswith(_CALLERS):
            return tuple(stack[:index])
    for index, frame in enumerate(stack):
        if index and frame.module.partition(".")[0] in _LOOPS and not _awaits(stack[:index]):
            return tuple(stack[:index])
    return tuple(stack)


def _awaits(inner: Sequence[Frame]) -> bool:
    """Whether all of the frames so far belong to the loop or a library: then the user's are still to come."""
    return all(frame.module.partition(".")[0] in _LOOPS or frames.is_standard_file(frame.file) for frame in inner)


@dataclass(slots=True)
class LinesSeen:
    """Where requests were seen.

    Attributes:
        looks: Looks at any of them.
        lines: The user's frames with how often each was the innermost.
        blocking: The same, of those looks at which it kept its event loop from all others.
    """

    looks: int = 0
    lines: Counter[Frame] = field(default_factory=Counter)
    blocking: Counter[Frame] = field(default_factory=Counter)


def sample(
    under_way: Callable[[], Sequence[InboundRequest]],
    wanted: Callable[[InboundRequest], bool],
    seconds: float = 1.5,
    hz: float = 50.0,
    abort: AbortSignal | None = None,
) -> LinesSeen:
    """Look at the requests under way again and again, at most 50 at a look; about 20 us each.

    Args:
        under_way: Answers the requests that are under way.
        wanted: Answers whether one is of interest.
        seconds: How long.
        hz: Looks a second, if the interpreter lets us.
        abort: Ends it early.
    """
    abort = abort or AbortSignal()
    seen = LinesSeen()
    deadline = clock.monotonic() + seconds
    while True:
        threads = thread_frames()
        requests = under_way()
        shared = shared_threads(requests)
        for request in [one for one in requests if wanted(one)][:_MOST_REQUESTS]:
            found = doing(request, threads, shared)
            if request.over or not found.stack:
                continue  # it ended meanwhile: its thread serves another one
            seen.looks += 1
            place = found.at
            if place is not None:
                seen.lines[place] += 1
                if found.blocks:
                    seen.blocking[place] += 1
        del threads
        if clock.monotonic() >= deadline or abort.wait(1.0 / hz):
            return seen
