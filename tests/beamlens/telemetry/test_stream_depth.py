from __future__ import annotations

from beamlens.telemetry import Bus, StreamDepth
from beamlens_actors import EventStream


def test_a_depth_is_told_when_it_doubles_or_halves_and_when_events_are_lost():
    told = []
    bus = Bus("here")
    bus.listen(lambda name, sender, numbers, _metadata: told.append((name, sender, dict(numbers))))
    bus.start()
    stream = EventStream(capacity=4, timeout=None)
    depth = StreamDepth(bus, stream, "logger")
    for number in range(5):
        stream.push(number)
        depth.look()
    next(stream)
    depth.look()
    bus.close()
    assert {(name, sender) for name, sender, _ in told} == {("agent_core.event_stream.queue_depth", "logger")}
    assert [(numbers["depth"], numbers["dropped"]) for *_, numbers in told] == [(1, 0), (2, 0), (4, 0), (4, 1), (3, 1)]
    assert {numbers["max_queue"] for *_, numbers in told} == {4}
