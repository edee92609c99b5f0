"""How full a stream of events is, told when that changes much."""

from __future__ import annotations

from beamlens.telemetry.bus import Bus
from beamlens_actors import EventStream


class StreamDepth:
    """Emits ``agent_core.event_stream.queue_depth`` for one stream.

    Not at each event, of which there may be many: when what waits has doubled or halved, and when events were lost.
    """

    def __init__(self, bus: Bus, stream: EventStream, name: str) -> None:
        """Make one.

        Args:
            bus: Takes the event.
            stream: Whose depth.
            name: The sender, and ``stream`` in the event.
        """
        self._bus = bus
        self._stream = stream
        self._name = name
        self._told = (0, 0)

    def look(self) -> bool:
        """Look, and emit if there is news; whoever pushes or takes calls this after it. True if there was."""
        stats = self._stream.stats()
        seen = (stats.size.bit_length(), stats.dropped)
        if seen == self._told:
            return False
        self._told = seen
        numbers = {"depth": stats.size, "max_queue": stats.capacity, "dropped": stats.dropped}
        self._bus.emit("agent_core.event_stream.queue_depth", self._name, numbers, stream=self._name)
        return True
