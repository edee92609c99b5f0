from __future__ import annotations

from typing import Any

import pytest

from beamlens_actors import Normal, Shutdown
from beamlens_supervision import (
    AlreadyPresent,
    AlreadyStarted,
    ChildCounts,
    ChildInfo,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    ChildStartError,
    InvalidChildSpec,
    Supervisor,
)
from tests.supervision.helpers import Flaky, Worker, crash, end, states, worker


def test_which_children_lists_id_ref_type_and_state_in_start_order() -> None:
    inner = ChildSpec("s", Supervisor.start, type="supervisor")
    sup = Supervisor.start([worker("a"), inner, worker("b")])
    sup.terminate_child("b")
    assert sup.which_children() == [
        ChildInfo("a", sup.child("a"), "worker", "running"),
        ChildInfo("s", sup.child("s"), "supervisor", "running"),
        ChildInfo("b", None, "worker", "stopped"),
    ]


def test_count_children_counts_specs_active_supervisors_and_workers() -> None:
    inner = ChildSpec("s", Supervisor.start, type="supervisor")
    sup = Supervisor.start([worker("a"), inner, worker("b")])
    sup.terminate_child("b")
    assert sup.count_children() == ChildCounts(specs=3, active=2, supervisors=1, workers=2)


def test_start_child_adds_one_at_the_end() -> None:
    sup = Supervisor.start([worker("a")])
    ref = sup.start_child(worker("b"))
    assert [info.id for info in sup.which_children()] == ["a", "b"]
    assert sup.child("b") is ref


def test_starting_a_running_child_reports_its_ref() -> None:
    sup = Supervisor.start([worker("a")])
    with pytest.raises(AlreadyStarted) as caught:
        sup.start_child(worker("a"))
    assert caught.value.ref is sup.child("a")


def test_starting_a_stopped_child_is_already_present() -> None:
    sup = Supervisor.start([worker("a")])
    sup.terminate_child("a")
    with pytest.raises(AlreadyPresent):
        sup.start_child(worker("a"))


def test_a_failed_start_keeps_no_spec_and_the_supervisor_lives() -> None:
    sup = Supervisor.start([worker("a")])
    with pytest.raises(ChildStartError, match="'bad'"):
        sup.start_child(ChildSpec("bad", Flaky(1)))
    assert states(sup.which_children()) == {"a": "running"}


def test_starting_what_is_no_spec_is_refused() -> None:
    sup = Supervisor.start([])
    with pytest.raises(InvalidChildSpec):
        sup.start_child(Worker)  # type: ignore[arg-type]
    assert sup.is_alive()


def test_terminate_ends_a_child_and_keeps_its_spec() -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    sup.terminate_child("a")
    assert child is not None
    assert child.join() == Shutdown()
    assert states(sup.which_children()) == {"a": "stopped"}


def test_terminating_a_stopped_child_is_fine() -> None:
    sup = Supervisor.start([worker("a")])
    sup.terminate_child("a")
    sup.terminate_child("a")
    assert states(sup.which_children()) == {"a": "stopped"}


def test_terminating_a_temporary_child_forgets_it() -> None:
    sup = Supervisor.start([worker("a", restart="temporary")])
    sup.terminate_child("a")
    with pytest.raises(ChildNotFound):
        sup.terminate_child("a")


def test_a_terminated_child_is_not_restarted_and_costs_no_intensity() -> None:
    sup = Supervisor.start([worker("a")], max_restarts=0)
    sup.terminate_child("a")
    assert states(sup.which_children()) == {"a": "stopped"}


def test_restart_starts_a_stopped_child_again() -> None:
    sup = Supervisor.start([worker("a", restart="transient")])
    first = sup.child("a")
    end(first, Normal())
    second = sup.restart_child("a")
    assert (sup.child("a"), second is first) == (second, False)


def test_restarting_a_running_child_is_refused() -> None:
    sup = Supervisor.start([worker("a")])
    with pytest.raises(ChildRunning):
        sup.restart_child("a")


def test_a_failed_restart_by_hand_leaves_the_child_stopped() -> None:
    sup = Supervisor.start([ChildSpec("a", Flaky(1, after=1))])
    sup.terminate_child("a")
    with pytest.raises(ChildStartError):
        sup.restart_child("a")
    assert states(sup.which_children()) == {"a": "stopped"}
    assert sup.restart_child("a").is_alive()


def test_deleting_a_running_child_is_refused() -> None:
    sup = Supervisor.start([worker("a")])
    with pytest.raises(ChildRunning):
        sup.delete_child("a")


def test_a_deleted_child_is_unknown() -> None:
    sup = Supervisor.start([worker("a")])
    sup.terminate_child("a")
    sup.delete_child("a")
    with pytest.raises(ChildNotFound):
        sup.delete_child("a")


@pytest.mark.parametrize("operation", ["terminate_child", "restart_child", "delete_child", "get_child_spec"])
def test_an_unknown_child_is_not_found(operation: str) -> None:
    sup = Supervisor.start([])
    with pytest.raises(ChildNotFound, match="'x'"):
        getattr(sup, operation)("x")
    assert sup.is_alive()


def test_the_ref_of_an_unknown_child_is_none() -> None:
    assert Supervisor.start([]).child("x") is None


def test_the_spec_can_be_read_back() -> None:
    spec = worker("a", restart="transient", shutdown=2.0)
    sup = Supervisor.start([spec])
    assert sup.get_child_spec("a") is spec


def test_ids_may_be_any_hashable_value() -> None:
    ids: list[Any] = [1, ("a", 2), frozenset({3})]
    sup = Supervisor.start([ChildSpec(each, Worker.start) for each in ids])
    assert [info.id for info in sup.which_children()] == ids


def test_counts_stay_right_through_crashes() -> None:
    sup = Supervisor.start([worker(name) for name in "abc"])
    for name in "abc":
        crash(sup.child(name))
    assert sup.count_children() == ChildCounts(3, 3, 0, 3)
