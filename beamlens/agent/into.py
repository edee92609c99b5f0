"""`Into`: a listener that puts a run's events into a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.agent.gathering import Gathering

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent
    from beamlens_actors import EventStream, StreamStats


class Into:
    """Never blocks. What a full stream loses is counted; partial events are joined before they are lost."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._gathering = Gathering(stream.push, self._crowded)

    def __call__(self, event: AgentEvent) -> None:
        """Take an event."""
        self._gathering.offer(event)

    def stats(self) -> StreamStats:
        """The stream's, with what was dropped before it."""
        stats = self._stream.stats()
        return stats._replace(dropped=stats.dropped + self._gathering.dropped)

    def _crowded(self) -> bool:
        return crowded(self._stream.stats())


def crowded(stats: StreamStats) -> bool:
    """Whether a queue is half full."""
    return stats.size * 2 >= stats.capacity
