"""Holding partial events back for whoever reads slowly, or wants fewer: nothing else waits, and order is kept."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beamlens.agent.events import MessageUpdate
from beamlens.errors import ConfigError
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent
    from beamlens_actors import Timer

_MOST_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """How long partial events (`message_update`, `tool_execution_update`) are held back for a subscriber.

    They are delivered together when there are enough, when the first has waited long enough, or before any other
    event. Pieces of one text that follow one another are joined into one event.

    Attributes:
        events: Most that are held back, at least 1.
        seconds: Longest that one is held back.
    """

    events: int = 64
    seconds: float = 0.1

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: A value that cannot be.
        """
        if not isinstance(self.events, int) or isinstance(self.events, bool) or self.events < 1:
            raise ConfigError(f"events must be a number of at least 1, not {self.events!r}", field="batch.events")
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float) or not self._positive():
            raise ConfigError(f"seconds must be a number above 0, not {self.seconds!r}", field="batch.seconds")

    def _positive(self) -> bool:
        return math.isfinite(self.seconds) and self.seconds > 0


class Gathering:
    """Stands before a queue of events.

    Partial events fill at most half of the queue, so that nobody's chatter displaces a message's end: while it is half
    full they are held back here, and those for which there is no room when another event comes are dropped, for what
    comes then says it all.

    Offered events are delivered, merged (joined into one that is delivered or dropped), dropped, or held: the sum is
    exact.
    """

    def __init__(
        self, deliver: Callable[[AgentEvent], object], crowded: Callable[[], bool], batch: Batch | None = None
    ) -> None:
        """Make one.

        Args:
            deliver: Puts an event into the queue; must not block.
            crowded: Whether the queue is half full.
            batch: How long to hold partial events back when it is not.
        """
        self._deliver = deliver
        self._crowded = crowded
        self._batch = batch
        # Re-entrant: a delivery may run anybody's callbacks, and so this one's end.
        self._lock = threading.RLock()
        self._groups: list[list[AgentEvent]] = []
        self._held = 0
        self._busy = False  # something is held, or on its way
        self._timer: Timer | None = None
        self._closed = False
        self.dropped = 0
        self.merged = 0

    @property
    def held(self) -> int:
        """Events that wait here."""
        return self._held

    def offer(self, event: AgentEvent) -> None:
        """Deliver an event, after those that are held back; or hold it back."""
        if not (event.lossy or self._busy or self._closed):  # most events of most queues: nothing to wait for
            self._deliver(event)
            return
        with self._lock:
            if self._closed:
                return
            if event.lossy and (self._batch is not None or self._crowded()):
                self._hold(event)
            else:
                self.flush()
                self._deliver(event)

    def flush(self) -> None:
        """Deliver what is held back, as far as there is room."""
        with self._lock:
            groups, self._groups, self._held = self._groups, [], 0
            for group in groups:
                self.merged += len(group) - 1
                if self._crowded():
                    self.dropped += 1
                else:
                    self._deliver(_joined(group))
            self._busy = bool(self._groups)

    def close(self) -> None:
        """Hold nothing back any more, and take nothing."""
        with self._lock:
            self._closed = True
            self._groups, self._held = [], 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _hold(self, event: AgentEvent) -> None:
        if self._groups and _continues(event, self._groups[-1][-1]):
            self._groups[-1].append(event)
        else:
            self._groups.append([event])
        self._held += 1
        self._busy = True
        if self._batch is None:
            if len(self._groups) >= _MOST_GROUPS:
                self.flush()
        elif self._held >= self._batch.events:
            self.flush()
        elif self._timer is None:
            self._timer = clock.call_later(self._batch.seconds, self._due)

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            self.flush()


def _continues(event: AgentEvent, last: AgentEvent) -> bool:
    return (
        isinstance(event, MessageUpdate)
        and isinstance(last, MessageUpdate)
        and event.so_far.speech is last.so_far.speech
        and event.delta.continues(last.delta)
    )


def _joined(group: Sequence[AgentEvent]) -> AgentEvent:
    last = group[-1]
    if len(group) == 1 or not isinstance(last, MessageUpdate):
        return last
    text = "".join(event.delta.text for event in group if isinstance(event, MessageUpdate))
    return dataclasses.replace(last, delta=dataclasses.replace(last.delta, text=text))
