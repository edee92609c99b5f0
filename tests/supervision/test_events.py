from __future__ import annotations

from beamlens_actors import Crash, Shutdown
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildStarted,
    DynamicSupervisor,
    Supervisor,
    TaskSupervisor,
)
from tests.supervision.helpers import LIMIT, Events, crash, worker


def test_a_childs_life_is_told_in_order() -> None:
    events = Events()
    sup = Supervisor.start([worker("a")], on_event=events)
    first = sup.child("a")
    crash(first)
    second = sup.child("a")
    sup.stop(timeout=LIMIT)
    started, ended, restarted, stopped = events.all
    assert started == ChildStarted(sup, "a", first)  # type: ignore[arg-type]
    assert isinstance(ended, ChildEnded)
    assert (ended.ref, type(ended.reason)) == (first, Crash)
    assert restarted == ChildRestarted(sup, "a", second, 1)  # type: ignore[arg-type]
    assert stopped == ChildEnded(sup, "a", second, Shutdown())  # type: ignore[arg-type]


def test_a_dynamic_supervisor_tells_the_same() -> None:
    events = Events()
    sup = DynamicSupervisor.start(on_event=events)
    crash(sup.start_child(worker("a")))
    sup.count_children()
    assert [type(event) for event in events.all] == [ChildStarted, ChildEnded, ChildRestarted]


def test_a_task_supervisor_tells_of_each_task() -> None:
    events = Events()
    sup = TaskSupervisor.start(on_event=events)
    sup.run(abs, -1).result(LIMIT)
    sup.count_children()
    assert [type(event) for event in events.all] == [ChildStarted, ChildEnded]
