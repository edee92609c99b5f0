"""Who holds the descriptors that are opened and not closed."""

from beamlens.evidence import Strength
from beamlens.probes import heap, openers, stacks
from beamlens.probes.heap import Growing, Holder
from beamlens_actors.testing import FakeClock

HELD = []


def test_a_container_is_judged_by_its_pace_when_the_search_takes_longer_than_its_readings(monkeypatch):
    with FakeClock() as clock:

        def slowly(seconds):
            """Half of what is opened comes while the heap is walked."""
            HELD.extend(open("/dev/null") for _ in range(30))  # noqa: SIM115
            clock.advance(seconds)
            clock.advance(seconds)
            holder = Holder("global", "HELD", "program", "", "", "program.HELD")
            grown = Growing(holder, "list", 1, 15, 30, seconds, 100.0, tuple(HELD[-15:]))
            return [grown], True

        monkeypatch.setattr(heap, "find_growing", slowly)
        monkeypatch.setattr(stacks, "sample", lambda _seconds: stacks.Samples())
        try:
            (piece,) = openers.watch(0.0).evidence
        finally:
            while HELD:
                HELD.pop().close()
    assert piece.text.startswith("30 descriptors were opened and not closed in 5.0 s (30 files like /dev/null); ")
    assert "program.HELD (list) holds them: 15 items more in 2.5 s" in piece.text
    assert piece.data == {"new": 30, "held_share": 1.0, "holder": "program.HELD"}
    assert piece.strength is Strength.SUPPORTING  # no line of a program is known here
