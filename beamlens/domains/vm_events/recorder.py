"""Gathers the events of the probes into one ring: 500 events, five minutes."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from beamlens.evidence import Place
from beamlens.probes import frames, waits
from beamlens.probes.frames import Frame
from beamlens.probes.gc_pauses import Pause, pauses
from beamlens.probes.loops import loops
from beamlens.probes.sampler import GilHeld, SampledThread, sampler
from beamlens_actors import clock

Kind = Literal["long_gc", "gil_held", "slow_callback", "lock_wait"]
KINDS: tuple[str, ...] = get_args(Kind)
WINDOW = 300.0
LOCK_WAIT = 5.0
"""From how many seconds on a wait for a lock is an event."""

_MOST = 500
_MOST_FRAMES = 20


@dataclass(frozen=True, slots=True)
class Event:
    """Something that kept others waiting. Text and numbers only.

    Attributes:
        kind: What it was.
        at: When it ended or was last seen: seconds since the epoch.
        seconds: How long it lasted.
        thread: Name of the thread.
        stack: Where that stood, innermost first, 20 frames at most.
        detail: The rest in a few words.
    """

    kind: Kind
    at: float
    seconds: float
    thread: str
    stack: tuple[Frame, ...]
    detail: str = ""

    @property
    def place(self) -> Place | None:
        """The innermost line of the program's, else of a library."""
        return frames.user_place(self.stack)


class EventRecorder:
    """Takes what the probes have seen, each time it is asked; the probes' own rings bridge the time between.

    Attributes:
        since: When recording began, ``None`` while it does not.
        dropped: Events that newer ones pushed out before their five minutes were over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._installed_in: int | None = None
        self._reset()
        self.since: float | None = None

    def _reset(self) -> None:
        self._ring: deque[Event] = deque(maxlen=_MOST)
        self._waiting: dict[tuple[int, float], tuple[float, Event]] = {}
        self._taken = {"long_gc": clock.time(), "gil_held": clock.time(), "slow_callback": clock.time()}
        self.dropped = 0

    def install(self) -> None:
        """See `Recorder.install`."""
        with self._lock:
            if self._installed_in != os.getpid():
                self._reset()
                pauses.start()
                try:
                    loops.start()
                except RuntimeError:
                    pauses.stop()
                    raise
                self._installed_in, self.since = os.getpid(), clock.time()

    def uninstall(self) -> None:
        """See `Recorder.uninstall`."""
        with self._lock:
            if self._installed_in == os.getpid():
                loops.stop()
                pauses.stop()
            self._installed_in = self.since = None

    def events(self, window: float = WINDOW) -> list[Event]:
        """The events of the window, the newest first; takes in what is new. About 0.1 ms."""
        with self._lock:
            if self._installed_in == os.getpid():
                self._take()
            since = clock.time() - window
            held = [event for event in self._ring if event.at >= since]
        return sorted(held, key=lambda event: -event.at)

    def waiting(self) -> list[waits.LockGroup]:
        """Threads that wait for a lock now, for 5 s or longer."""
        return waits.lock_groups(sampler.states(), time.monotonic(), LOCK_WAIT)

    def _take(self) -> None:
        kept = sampler.held.copy()
        collections = pauses.recent(WINDOW)
        for pause in collections:
            if not pause.long:
                continue  # its thread waited for a processor: no fault of the collector
            detail = f"generation {pause.generation}, {pause.collected} objects freed"
            if pause.uncollectable:
                detail += f", {pause.uncollectable} could not be"
            by = next((held for held in kept if _is_collection(held, [pause])), None)
            # Who set it off stands there right after: nothing may run inside of a collection to look.
            thread, frames_ = ("", ()) if by is None else (by.thread, by.stack.frames[:_MOST_FRAMES])
            self._add(Event("long_gc", pause.at, pause.seconds, thread, frames_, detail))
        for held in kept:
            if _is_collection(held, collections):
                continue
            stack = held.stack.frames[:_MOST_FRAMES]
            self._add(Event("gil_held", held.at, held.seconds, held.thread, stack, "no other thread could run"))
        for stall in loops.recent(WINDOW):
            if stall.over and not stall.by_others:
                share = min(1.0, stall.cpu / max(stall.seconds, 1e-6))
                stack = stall.stacks[0][0].frames[:_MOST_FRAMES]
                detail = f"the event loop could not go on; {share:.0%} of it burning CPU"
                self._add(Event("slow_callback", stall.at, stall.seconds, stall.thread, stack, detail))
        self._take_waits()
        oldest = clock.time() - WINDOW
        while self._ring and self._ring[0].at < oldest:
            self._ring.popleft()

    def _add(self, event: Event) -> None:
        """Add what is newer than the last of its kind."""
        if event.at > self._taken[event.kind]:
            self._taken[event.kind] = event.at
            self._push(event)

    def _push(self, event: Event) -> None:
        if len(self._ring) == _MOST and self._ring[0].at >= clock.time() - WINDOW:
            self.dropped += 1
        self._ring.append(event)

    def _take_waits(self) -> None:
        """A wait for a lock is an event once it is over, or from its sixtieth second on."""
        now = time.monotonic()
        seen: dict[tuple[int, float], SampledThread] = {}
        for thread in sampler.states():
            if thread.parked(now) >= LOCK_WAIT and waits.kind_of(thread.stack) == "lock":
                seen[thread.ident, thread.since] = thread
        for key, thread in seen.items():
            stack = thread.stack.frames[:_MOST_FRAMES]
            place = frames.user_place(stack)
            lock = "" if place is None else waits.lock_at(place)
            detail = f"for the lock {lock}" if lock else "for a lock"
            event = Event("lock_wait", clock.time(), now - thread.since, thread.name, stack, detail)
            self._waiting[key] = (now, event)
        for key in [key for key in self._waiting if key not in seen]:
            self._push(self._waiting.pop(key)[1])

    def current_waits(self) -> Sequence[Event]:
        """The waits for locks that go on, as of the last `events`."""
        return [event for _, event in self._waiting.values()]


def _is_collection(held: GilHeld, collections: Sequence[Pause]) -> bool:
    """Whether the GIL was kept by the collector."""
    return any(held.at - held.seconds - 0.2 <= pause.at <= held.at + 0.05 for pause in collections)
