from __future__ import annotations

from beamlens.domains import stuck
from beamlens.evidence import CauseKind, Strength
from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack
from beamlens.probes.loops import Stall

HANDLER = Frame("/srv/views.py", 12, "orders", "views")
HELPER = Frame("/srv/prices.py", 3, "compute", "prices")
LOOP = Frame("/usr/lib/python3.11/asyncio/events.py", 80, "Handle._run", "asyncio.events")


def stall(seconds, stack, cpu=0.0, thread="server"):
    return Stall(1000.0, seconds, cpu, 0.0, thread, ((stack, seconds),))


DIRECT, NESTED = Stack((HANDLER, LOOP)), Stack((HELPER, HANDLER, LOOP))


def test_one_or_two_short_times_are_no_blocked_loop():
    assert stuck.blocked_share([]) == 0.0
    assert stuck.blocked_share([stall(0.8, DIRECT), stall(0.8, DIRECT)]) == 0.0
    assert stuck.blocked_share([stall(1.0, DIRECT)] * 3) == 0.2
    assert stuck.blocked_share([stall(3.0, DIRECT)]) == 0.2
    assert stuck.blocked_share([stall(100.0, DIRECT)]) == 1.0


def test_loops_do_not_add_up():
    found = [stall(1.0, DIRECT, thread=name) for name in ("a", "b", "c")]
    assert stuck.blocked_share(found) == 0.0


def test_the_line_that_blocks_is_told_with_who_called_it():
    (why,) = stuck.explain_stalls([stall(0.5, NESTED, cpu=0.5)] * 4 + [stall(0.2, DIRECT)], 30.0)
    assert why.cause == CauseKind.BLOCKED_LOOP
    assert why.strength == Strength.CONCLUSIVE
    assert (why.place.file, why.place.line) == ("/srv/prices.py", 3)
    assert "burning CPU" in why.text
    assert "called from srv/views.py:12 in orders" in why.text


def test_without_a_majority_it_is_only_a_hint():
    (why,) = stuck.explain_stalls([stall(0.5, NESTED), stall(0.5, DIRECT)], 30.0)
    assert why.strength == Strength.SUPPORTING


def test_no_stall_speaks_against_it():
    (why,) = stuck.explain_stalls([], 30.0)
    assert why.strength == Strength.EXCLUDES
