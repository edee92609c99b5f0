"""How many restarts are allowed, and what becomes of a supervisor that gave up."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Shutdown
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildSpec,
    DynamicSupervisor,
    GaveUp,
    Supervisor,
)
from tests.supervision.helpers import (
    LIMIT,
    Events,
    Flaky,
    crash,
    refs,
    states,
    worker,
)


def three(strategy: Any, **options: Any) -> tuple[Any, list[str], dict[Any, Any]]:
    log: list[str] = []
    sup = Supervisor.start([worker(name, log) for name in "abc"], strategy=strategy, **options)
    log.clear()
    return sup, log, refs(sup.which_children())


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_one_restart_too_many_ends_the_supervisor_with_shutdown_after_its_children(strategy: Any) -> None:
    with FakeClock():
        sup, log, _before = three(strategy, max_restarts=2)
        crash(sup.child("c"))
        crash(sup.child("c"))
        others = [sup.child("a"), sup.child("b")]
        log.clear()
        crash(sup.child("c"))
        assert sup.join(LIMIT) == Shutdown()
        assert [other.join(LIMIT) for other in others] == [Shutdown(), Shutdown()]
        assert log == ["-c", "-b", "-a"]


def test_with_intensity_zero_the_first_crash_ends_it() -> None:
    sup = Supervisor.start([worker("a")], max_restarts=0)
    crash(sup.child("a"))
    assert sup.join(LIMIT) == Shutdown()


def test_the_default_allows_three_restarts_in_five_seconds() -> None:
    with FakeClock():
        sup = Supervisor.start([worker("a")])
        for _ in range(3):
            crash(sup.child("a"))
        assert sup.count_children().active == 1
        crash(sup.child("a"))
        assert sup.join(LIMIT) == Shutdown()


def test_spaced_crashes_never_end_it() -> None:
    with FakeClock() as clock:
        sup = Supervisor.start([worker("a")], max_restarts=1, max_seconds=5.0)
        for _ in range(10):
            crash(sup.child("a"))
            assert sup.count_children().active == 1
            clock.advance(5.1)


def test_giving_up_is_an_event_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    sup = Supervisor.start([worker("a")], max_restarts=0, on_event=events)
    crash(sup.child("a"))
    sup.join(LIMIT)
    assert events.all[-1] == GaveUp(sup, "a", 0, 5.0)
    assert "gives up: child 'a' ended, and more than 0 restarts in 5 s are not allowed" in caplog.text


def all_crash_at_once(sup: Any, events: Events, gate: threading.Event) -> None:
    """Crash all children while the supervisor is held in its `on_event` for the first of them."""
    children = list(refs(sup.which_children()).values())
    crash(children[0])
    events.wait_for(ChildEnded)
    for ref in children[1:]:
        crash(ref)
    gate.set()
    sup.join(LIMIT)


def test_it_gives_up_once_though_several_children_crashed(gate: threading.Event) -> None:
    events = Events(hold_at=ChildEnded, gate=gate)
    sup = Supervisor.start([worker(name) for name in "abc"], max_restarts=0, on_event=events)
    all_crash_at_once(sup, events, gate)
    assert [event.child_id for event in events.all if isinstance(event, GaveUp)] == ["a"]


def test_it_gives_up_once_though_several_children_cannot_restart(gate: threading.Event) -> None:
    events = Events(hold_at=ChildEnded, gate=gate)
    specs = [ChildSpec(name, Flaky(1000, after=1)) for name in "abc"]
    sup = Supervisor.start(specs, max_restarts=7, on_event=events)
    all_crash_at_once(sup, events, gate)
    assert len([event for event in events.all if isinstance(event, GaveUp)]) == 1


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_child_that_can_never_restart_ends_the_supervisor(strategy: Any) -> None:
    flaky = Flaky(1000, after=1)
    specs = [worker("a"), ChildSpec("bad", flaky), worker("c")]
    sup = Supervisor.start(specs, strategy=strategy, max_restarts=4)
    crash(sup.child("bad"))
    assert sup.join(LIMIT) == Shutdown()
    assert flaky.calls == 1 + 4


def test_a_restart_that_fails_once_and_then_works_counts_as_two() -> None:
    with FakeClock():
        sup = Supervisor.start([ChildSpec("a", Flaky(1, after=1))], max_restarts=2)
        crash(sup.child("a"))
        sup.which_children()
        assert sup.count_children().active == 1
        crash(sup.child("a"))
        assert sup.join(LIMIT) == Shutdown()


def test_a_parent_restarts_a_sub_supervisor_that_gave_up_with_its_static_children() -> None:
    events = Events()
    inner = ChildSpec("inner", Supervisor.start, ([worker("leaf")],), {"max_restarts": 0}, type="supervisor")
    sup = Supervisor.start([inner], on_event=events)
    sub: Any = sup.child("inner")
    crash(sub.child("leaf"))
    events.wait_for(ChildRestarted)
    again: Any = sup.child("inner")
    assert again is not sub
    assert states(again.which_children()) == {"leaf": "running"}


def test_a_restarted_dynamic_supervisor_has_no_children() -> None:
    events = Events()
    inner = ChildSpec("inner", DynamicSupervisor.start, kwargs={"max_restarts": 0}, type="supervisor")
    sup = Supervisor.start([inner], on_event=events)
    sub: Any = sup.child("inner")
    crash(sub.start_child(worker("leaf")))
    events.wait_for(ChildRestarted)
    again: Any = sup.child("inner")
    assert again.which_children() == []


def test_a_transient_sub_supervisor_that_gave_up_stays_stopped() -> None:
    events = Events()
    inner = ChildSpec("inner", Supervisor.start, ([worker("leaf")],), {"max_restarts": 0}, restart="transient")
    sup = Supervisor.start([inner], on_event=events)
    sub: Any = sup.child("inner")
    crash(sub.child("leaf"))
    events.wait_for(ChildEnded)
    assert states(sup.which_children()) == {"inner": "stopped"}
