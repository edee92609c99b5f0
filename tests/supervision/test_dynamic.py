from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from beamlens_actors import Crash, Killed, Normal, Shutdown
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    ChildStartError,
    DynamicSupervisor,
    Ignore,
    InvalidChildSpec,
    InvalidSupervisorOption,
    MaxChildren,
)
from tests.supervision.helpers import LIMIT, Boom, Flaky, Worker, crash, end, hang, states, worker

if TYPE_CHECKING:
    import threading


def test_children_of_one_id_may_run_side_by_side() -> None:
    sup = DynamicSupervisor.start()
    started = [sup.start_child(worker("a")) for _ in range(3)]
    assert [info.ref for info in sup.which_children()] == started


def test_a_child_restarts_alone_with_the_same_arguments() -> None:
    sup = DynamicSupervisor.start()
    first, other = sup.start_child(worker("a")), sup.start_child(worker("b"))
    crash(first)
    infos = {info.id: info.ref for info in sup.which_children()}
    assert infos["b"] is other
    assert infos["a"] is not first
    assert infos["a"].ask("name?") == "a"


@pytest.mark.parametrize(
    ("restart", "reason"), [("temporary", Crash(Boom())), ("transient", Normal()), ("transient", Shutdown())]
)
def test_a_child_that_ended_for_good_is_forgotten(restart: Any, reason: Any) -> None:
    sup = DynamicSupervisor.start()
    end(sup.start_child(worker("a", restart=restart)), reason)
    assert sup.which_children() == []


def test_terminate_ends_and_forgets_a_child() -> None:
    sup = DynamicSupervisor.start()
    ref = sup.start_child(worker("a"))
    sup.terminate_child(ref)
    assert (ref.join(), sup.which_children()) == (Shutdown(), [])
    with pytest.raises(ChildNotFound):
        sup.terminate_child(ref)


def test_terminating_a_stranger_is_not_found_and_leaves_it_alone() -> None:
    sup, stranger = DynamicSupervisor.start(), Worker.start()
    with pytest.raises(ChildNotFound):
        sup.terminate_child(stranger)
    assert stranger.ask("name?") == "w"


def test_terminating_a_restarting_child_works_once() -> None:
    with FakeClock() as clock:
        sup = DynamicSupervisor.start()
        flaky = Flaky(10, after=1)
        ref = sup.start_child(ChildSpec("a", flaky, backoff=1.0))
        crash(ref)
        assert states(sup.which_children()) == {"a": "restarting"}
        sup.terminate_child(ref)
        with pytest.raises(ChildNotFound):
            sup.terminate_child(ref)
        clock.advance(10.0)
        assert (sup.which_children(), flaky.calls) == ([], 1)


def test_a_retried_child_can_be_terminated_by_its_new_ref() -> None:
    sup = DynamicSupervisor.start()
    crash(sup.start_child(ChildSpec("a", Flaky(2, after=1))))
    for _ in range(3):
        sup.count_children()
    (info,) = sup.which_children()
    sup.terminate_child(info.ref)
    assert sup.which_children() == []


def test_an_ignored_child_is_not_kept() -> None:
    sup = DynamicSupervisor.start()
    assert sup.start_child(ChildSpec("a", lambda: Ignore)) is Ignore
    assert sup.count_children().specs == 0


def test_a_failed_start_keeps_nothing_and_the_supervisor_lives() -> None:
    sup = DynamicSupervisor.start()
    with pytest.raises(ChildStartError) as caught:
        sup.start_child(ChildSpec("a", Flaky(1)))
    assert isinstance(caught.value.__cause__, Boom)
    assert sup.which_children() == []


def test_information_beside_the_ref_is_handed_back() -> None:
    sup = DynamicSupervisor.start()
    ref, info = sup.start_child(ChildSpec("a", lambda: (Worker.start(), 42)))
    assert (info, [child.ref for child in sup.which_children()]) == (42, [ref])


def test_max_children_refuses_one_more() -> None:
    sup = DynamicSupervisor.start(max_children=1)
    ref = sup.start_child(worker("a"))
    with pytest.raises(MaxChildren) as caught:
        sup.start_child(worker("b"))
    assert caught.value.limit == 1
    sup.terminate_child(ref)
    assert sup.start_child(worker("b")).is_alive()


def test_max_children_counts_those_being_restarted() -> None:
    with FakeClock():
        sup = DynamicSupervisor.start(max_children=1)
        crash(sup.start_child(worker("a", backoff=1.0)))
        with pytest.raises(MaxChildren):
            sup.start_child(worker("b"))


@pytest.mark.parametrize("value", [-1, 1.5, "2", None, True])
def test_max_children_must_be_a_whole_number_or_infinity(value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption, match="max_children"):
        DynamicSupervisor.start(max_children=value)


def test_extra_arguments_come_first_on_start_and_on_restart() -> None:
    seen: list[Any] = []

    def start(*args: Any) -> Any:
        seen.append(args)
        return Worker.start()

    sup = DynamicSupervisor.start(extra_args=("extra",))
    crash(sup.start_child(ChildSpec("a", start, ("own",))))
    assert (sup.count_children().active, seen) == (1, [("extra", "own")] * 2)


def test_a_significant_child_is_refused() -> None:
    sup = DynamicSupervisor.start()
    with pytest.raises(InvalidChildSpec, match="significant"):
        sup.start_child(worker("a", restart="transient", significant=True))


def test_restarts_of_all_children_share_one_window() -> None:
    with FakeClock():
        sup = DynamicSupervisor.start(max_restarts=1)
        first, second = sup.start_child(worker("a")), sup.start_child(worker("b"))
        crash(first)
        crash(second)
        assert sup.join(LIMIT) == Shutdown()


def test_children_are_ended_together_in_the_time_of_the_slowest(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = DynamicSupervisor.start()
        times = (1.0, 3.0, 2.0)
        children = [sup.start_child(worker(str(time), shutdown=time)) for time in times]
        for child in children:
            hang(child, gate)
        stopped = sup.stop(block=False)
        ended_at = []
        for expected in (children[0], children[2], children[1]):
            clock.wait_for_waiters(1)
            clock.advance(1.0)
            assert expected.join(None) == Killed()
            ended_at.append(clock.monotonic())
        assert stopped.get(timeout=None) is True
        assert ended_at == [1001.0, 1002.0, 1003.0]


def test_mixed_ways_to_stop_are_each_honoured(gate: threading.Event) -> None:
    with FakeClock() as clock:
        sup = DynamicSupervisor.start()
        brutal = sup.start_child(worker("brutal", shutdown="brutal_kill"))
        timed = sup.start_child(worker("timed", shutdown=1.0))
        polite = sup.start_child(worker("polite"))
        for child in (brutal, timed):
            hang(child, gate)
        stopped = sup.stop(block=False)
        assert polite.join(None) == Shutdown()
        assert brutal.join(None) == Killed()
        clock.wait_for_waiters(1)
        clock.advance(1.0)
        assert stopped.get(timeout=None) is True
        assert timed.join() == Killed()


def test_a_former_child_that_has_ended_is_not_found() -> None:
    sup = DynamicSupervisor.start()
    ref = sup.start_child(worker("a", restart="temporary"))
    end(ref, Normal())
    with pytest.raises(ChildNotFound):
        sup.terminate_child(ref)


@pytest.mark.parametrize("operation", ["restart_child", "delete_child", "child", "get_child_spec"])
def test_what_goes_by_id_is_not_offered(operation: str) -> None:
    assert not hasattr(DynamicSupervisor.start(), operation)


def test_a_stray_message_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    sup = DynamicSupervisor.start()
    sup.start_child(worker("a"))
    sup.tell("hello")
    assert sup.count_children().active == 1
    assert "dropped a message that is none of a supervisor's: 'hello'" in caplog.text


def test_a_restart_that_is_ignored_forgets_the_child() -> None:
    answers = [Worker.start, lambda: Ignore]
    sup = DynamicSupervisor.start()
    crash(sup.start_child(ChildSpec("a", lambda: answers.pop(0)())))
    assert sup.count_children().specs == 0


def test_counts_are_right_at_once_after_starts_crashes_storms_and_mass_stops() -> None:
    with FakeClock() as clock:
        sup = DynamicSupervisor.start(max_restarts=1000)
        storming = [sup.start_child(worker("s", backoff=1.0)) for _ in range(10)]
        others = [sup.start_child(worker("o", restart="temporary", type="supervisor")) for _ in range(10)]
        assert sup.count_children() == ChildCounts(20, 20, 10, 10)
        for ref in storming:
            crash(ref)
        assert sup.count_children() == ChildCounts(20, 10, 10, 10)
        for ref in others:
            end(ref, Shutdown())
        assert sup.count_children() == ChildCounts(10, 0, 0, 10)
        clock.advance(1.0)
        assert sup.count_children() == ChildCounts(10, 10, 0, 10)
