"""What happens when a child ends: restart types, strategies, intensity, storms, significance."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Killed, Normal, Shutdown, offload
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    AlreadyPresent,
    ChildCounts,
    ChildEnded,
    ChildRestarted,
    ChildRestarting,
    ChildSpec,
    DynamicSupervisor,
    GaveUp,
    InvalidChildSpec,
    Supervisor,
)
from tests.supervision.helpers import (
    LIMIT,
    Boom,
    Events,
    Flaky,
    Worker,
    crash,
    end,
    hang,
    refs,
    states,
    worker,
)

MANY = {"max_restarts": 1000}


def kill(ref: Any, gate: threading.Event) -> None:
    hang(ref, gate)
    ref.kill()
    ref.join(LIMIT)


ENDS = {
    "normal": lambda ref, _gate: end(ref, Normal()),
    "shutdown": lambda ref, _gate: end(ref, Shutdown()),
    "shutdown with detail": lambda ref, _gate: end(ref, Shutdown("detail")),
    "crash": lambda ref, _gate: crash(ref),
    "killed": kill,
}


@pytest.mark.parametrize("how", ENDS)
def test_a_permanent_child_is_restarted_after_every_reason(how: str, gate: threading.Event) -> None:
    sup = Supervisor.start([worker("a")])
    first = sup.child("a")
    ENDS[how](first, gate)
    assert states(sup.which_children()) == {"a": "running"}
    assert sup.child("a") is not first


@pytest.mark.parametrize("how", ENDS)
def test_a_transient_child_is_restarted_after_an_abnormal_end_only(how: str, gate: threading.Event) -> None:
    sup = Supervisor.start([worker("a", restart="transient")])
    ENDS[how](sup.child("a"), gate)
    expected = "running" if how in {"crash", "killed"} else "stopped"
    assert states(sup.which_children()) == {"a": expected}


@pytest.mark.parametrize("how", ENDS)
def test_a_temporary_child_is_forgotten_after_every_reason(how: str, gate: threading.Event) -> None:
    sup = Supervisor.start([worker("a", restart="temporary")])
    ENDS[how](sup.child("a"), gate)
    assert sup.which_children() == []
    assert sup.start_child(worker("a")).is_alive()


def test_a_restart_uses_the_original_arguments_and_makes_a_new_actor() -> None:
    sup = Supervisor.start([ChildSpec("a", Worker.start, ("given",), {"log": []})])
    first = sup.child("a")
    crash(first)
    second = sup.child("a")
    assert first is not None
    assert second is not None
    assert (first.is_alive(), second.ask("name?")) == (False, "given")


def three(strategy: Any, **options: Any) -> tuple[Any, list[str], dict[Any, Any]]:
    log: list[str] = []
    sup = Supervisor.start([worker(name, log) for name in "abc"], strategy=strategy, **options)
    log.clear()
    return sup, log, refs(sup.which_children())


@pytest.mark.parametrize(
    ("strategy", "same", "log"),
    [
        ("one_for_one", {"a", "c"}, ["-b", "+b"]),
        ("one_for_all", set(), ["-b", "-c", "-a", "+a", "+b", "+c"]),
        ("rest_for_one", {"a"}, ["-b", "-c", "+b", "+c"]),
    ],
)
def test_a_strategy_restarts_its_group_in_order_and_leaves_the_others(
    strategy: str, same: set[str], log: list[str]
) -> None:
    sup, seen, before = three(strategy)
    crash(before["b"])
    after = refs(sup.which_children())
    assert {name for name in "abc" if after[name] is before[name]} == same
    assert seen == log


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_temporary_siblings_are_ended_and_forgotten_and_cost_no_intensity(strategy: Any) -> None:
    specs = [worker("a"), worker("t", restart="temporary"), worker("u", restart="temporary")]
    sup = Supervisor.start(specs, strategy=strategy, max_restarts=1)
    crash(sup.child("a"))
    assert states(sup.which_children()) == {"a": "running"}


def test_one_for_all_starts_over_when_a_later_child_fails_to_start() -> None:
    log: list[str] = []
    flaky = ChildSpec("c", Flaky(1, after=1), ("c", log))
    sup = Supervisor.start([worker("a", log), worker("b", log), flaky], strategy="one_for_all")
    log.clear()
    crash(sup.child("a"))
    sup.which_children()
    assert states(sup.which_children()) == {"a": "running", "b": "running", "c": "running"}
    assert log == ["-a", "-c", "-b", "+a", "+b", "-b", "-a", "+a", "+b", "+c"]


def test_rest_for_one_goes_on_from_the_child_that_failed_to_start() -> None:
    log: list[str] = []
    flaky = ChildSpec("c", Flaky(1, after=1), ("c", log))
    sup = Supervisor.start([worker("a", log), worker("b", log), flaky], strategy="rest_for_one")
    log.clear()
    crash(sup.child("b"))
    sup.which_children()
    assert states(sup.which_children()) == {"a": "running", "b": "running", "c": "running"}
    assert log == ["-b", "-c", "+b", "+c"]


def test_a_child_that_ends_while_another_is_restarted_is_handled_once(gate: threading.Event) -> None:
    entered = threading.Event()
    calls: list[int] = []

    def slow() -> Any:
        calls.append(1)
        if len(calls) == 2:
            entered.set()
            offload(gate.wait, LIMIT)
        return Worker.start("slow")

    events = Events()
    sup = Supervisor.start([ChildSpec("slow", slow), worker("b")], on_event=events)
    before = refs(sup.which_children())
    crash(before["slow"])
    assert entered.wait(LIMIT)
    crash(before["b"])
    gate.set()
    assert states(sup.which_children()) == {"slow": "running", "b": "running"}
    assert [e.child_id for e in events.all if isinstance(e, ChildRestarted)] == ["slow", "b"]


def test_a_sibling_that_crashed_before_its_group_restart_is_handled_once() -> None:
    sup, _log, before = three("one_for_all", max_restarts=1)
    sup_gate, entered = threading.Event(), threading.Event()

    def block() -> Any:
        entered.set()
        offload(sup_gate.wait, LIMIT)
        return Worker.start("d")

    thread = threading.Thread(target=sup.start_child, args=(ChildSpec("d", block),))
    thread.start()
    assert entered.wait(LIMIT)
    crash(before["a"])
    crash(before["c"])
    sup_gate.set()
    thread.join(LIMIT)
    assert states(sup.which_children()) == dict.fromkeys("abcd", "running")


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


def storm(strategy: Any = "one_for_one") -> tuple[Any, Any]:
    """A supervisor of a, bad, c in which `bad` waits for its next restart under a FakeClock."""
    specs = [worker("a"), ChildSpec("bad", Flaky(1000, after=1), backoff=1.0), worker("c")]
    sup = Supervisor.start(specs, strategy=strategy, **MANY)  # type: ignore[arg-type]
    before = refs(sup.which_children())
    crash(before["bad"])
    return sup, before


def test_while_a_child_retries_it_shows_as_restarting_and_not_active() -> None:
    with FakeClock() as clock:
        sup, _before = storm()
        for _ in range(3):
            assert states(sup.which_children()) == {"a": "running", "bad": "restarting", "c": "running"}
            assert sup.count_children() == ChildCounts(specs=3, active=2, supervisors=0, workers=3)
            assert sup.child("bad") is None
            clock.advance(1.0)


def test_while_a_child_retries_start_restart_and_delete_are_refused() -> None:
    with FakeClock():
        sup, _before = storm()
        with pytest.raises(AlreadyPresent):
            sup.start_child(worker("bad"))
        with pytest.raises(ChildRestarting):
            sup.restart_child("bad")
        with pytest.raises(ChildRestarting):
            sup.delete_child("bad")


def test_terminating_a_retrying_child_cancels_the_retry() -> None:
    with FakeClock() as clock:
        sup, _before = storm()
        sup.terminate_child("bad")
        clock.advance(10.0)
        assert states(sup.which_children()) == {"a": "running", "bad": "stopped", "c": "running"}
        sup.delete_child("bad")
        assert sup.start_child(worker("bad")).is_alive()


def test_under_rest_for_one_the_children_after_a_retrying_one_are_absent() -> None:
    with FakeClock():
        sup, before = storm("rest_for_one")
        infos = sup.which_children()
        assert states(infos) == {"a": "running", "bad": "restarting", "c": "stopped"}
        assert refs(infos)["a"] is before["a"]


def test_a_supervisor_stops_promptly_during_a_storm_without_backoff() -> None:
    entered = threading.Event()

    def start() -> Any:
        if entered.is_set() or sup_started.is_set():
            entered.set()
            raise Boom
        return Worker.start("a")

    sup_started = threading.Event()
    sup = Supervisor.start([ChildSpec("a", start)], max_restarts=10**9)
    sup_started.set()
    crash(sup.child("a"))
    assert entered.wait(LIMIT)
    assert sup.stop(timeout=LIMIT) is True
    assert sup.join() == Shutdown()


def test_a_storming_supervisor_answers_between_two_attempts() -> None:
    flaky = Flaky(10**9, after=1)
    sup = Supervisor.start([ChildSpec("a", flaky)], max_restarts=10**9)
    crash(sup.child("a"))
    assert [states(sup.which_children(timeout=LIMIT)) for _ in range(5)] == [{"a": "restarting"}] * 5
    sup.stop(timeout=LIMIT)


def test_a_retry_survives_a_full_mailbox_of_the_supervisor() -> None:
    go, entered = threading.Event(), threading.Event()
    calls: list[int] = []

    def start() -> Any:
        calls.append(1)
        if len(calls) == 2:
            entered.set()
            offload(go.wait, LIMIT)
            raise Boom
        return Worker.start("a")

    events = Events()
    sup: Any = Supervisor.options(capacity=1).start([ChildSpec("a", start)], on_event=events)
    crash(sup.child("a"))
    assert entered.wait(LIMIT)
    answer = sup.ask("a stray message that fills the mailbox", block=False)
    go.set()
    answer.get(timeout=LIMIT)
    events.wait_for(ChildRestarted)
    assert len(calls) == 3


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_backoff_delays_each_restart_by_its_attempt(strategy: Any) -> None:
    asked: list[int] = []

    def backoff(attempt: int) -> float:
        asked.append(attempt)
        return 2.0**attempt

    flaky = Flaky(2, after=1)
    with FakeClock() as clock:
        sup = Supervisor.start([ChildSpec("a", flaky, backoff=backoff)], strategy=strategy, max_seconds=60.0)
        crash(sup.child("a"))
        seen = []
        for seconds in (1.9, 0.1, 3.9, 0.1, 7.9, 0.1):
            assert sup.child("a") is None
            clock.advance(seconds)
            sup.which_children()
            seen.append(flaky.calls)
        assert (seen, asked) == ([1, 2, 2, 3, 3, 4], [1, 2, 3])
        assert sup.child("a") is not None


def test_each_child_waits_for_its_own_backoff() -> None:
    with FakeClock() as clock:
        sup = Supervisor.start([worker("quick", backoff=1.0), worker("slow", backoff=5.0)])
        crash(sup.child("slow"))
        crash(sup.child("quick"))
        sup.which_children()
        clock.advance(1.0)
        assert states(sup.which_children()) == {"quick": "running", "slow": "restarting"}
        clock.advance(4.0)
        assert states(sup.which_children()) == {"quick": "running", "slow": "running"}


def test_backoff_starts_over_after_a_long_run() -> None:
    asked: list[int] = []
    with FakeClock() as clock:
        spec = ChildSpec("a", Worker.start, backoff=lambda attempt: asked.append(attempt) or 0.0)
        sup = Supervisor.start([spec], max_seconds=5.0)
        crash(sup.child("a"))
        crash(sup.child("a"))
        sup.which_children()
        clock.advance(5.0)
        crash(sup.child("a"))
        sup.which_children()
    assert asked == [1, 2, 1]


def test_a_backoff_that_raises_restarts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def backoff(_attempt: int) -> float:
        raise Boom

    sup = Supervisor.start([ChildSpec("a", Worker.start, backoff=backoff)])
    crash(sup.child("a"))
    assert sup.count_children().active == 1
    assert "backoff of child 'a' failed" in caplog.text


def test_a_killed_child_whose_thread_never_ends_is_replaced(gate: threading.Event) -> None:
    sup = Supervisor.start([worker("a")])
    first = sup.child("a")
    kill(first, gate)
    second = sup.child("a")
    assert second is not None
    assert (second is first, second.ask("name?")) == (False, "a")
    assert first is not None
    assert first.join() == Killed()


def significant(name: str, restart: str) -> ChildSpec:
    return worker(name, restart=restart, significant=True)


@pytest.mark.parametrize(("restart", "how"), [("transient", "normal"), *(("temporary", how) for how in ENDS)])
def test_any_significant_ends_the_supervisor_with_shutdown(restart: str, how: str, gate: threading.Event) -> None:
    specs = [worker("a"), significant("s", restart), significant("t", restart)]
    sup = Supervisor.start(specs, auto_shutdown="any_significant")
    other = sup.child("a")
    ENDS[how](sup.child("s"), gate)
    assert sup.join(LIMIT) == Shutdown()
    assert other is not None
    assert not other.is_alive()


def test_a_significant_transient_child_that_crashes_is_restarted() -> None:
    sup = Supervisor.start([significant("s", "transient")], auto_shutdown="any_significant")
    crash(sup.child("s"))
    assert states(sup.which_children()) == {"s": "running"}


def test_the_end_of_an_insignificant_child_ends_nothing() -> None:
    specs = [significant("s", "transient"), worker("a", restart="temporary")]
    sup = Supervisor.start(specs, auto_shutdown="any_significant")
    crash(sup.child("a"))
    assert states(sup.which_children()) == {"s": "running"}


def test_terminating_a_significant_child_by_hand_ends_nothing() -> None:
    sup = Supervisor.start([significant("s", "temporary")], auto_shutdown="any_significant")
    sup.terminate_child("s")
    assert sup.which_children() == []


def test_all_significant_waits_for_the_last_one() -> None:
    specs = [significant(name, "transient") for name in "abc"]
    sup = Supervisor.start(specs, auto_shutdown="all_significant")
    end(sup.child("a"), Normal())
    sup.terminate_child("b")
    assert states(sup.which_children()) == {"a": "stopped", "b": "stopped", "c": "running"}
    end(sup.child("c"), Normal())
    assert sup.join(LIMIT) == Shutdown()


def test_a_significant_temporary_sibling_ended_in_a_group_restart_ends_nothing() -> None:
    specs = [worker("a"), significant("s", "temporary")]
    sup = Supervisor.start(specs, strategy="one_for_all", auto_shutdown="any_significant")
    crash(sup.child("a"))
    assert states(sup.which_children()) == {"a": "running"}


def test_significant_is_refused_when_auto_shutdown_is_never() -> None:
    with pytest.raises(InvalidChildSpec, match="significant must be False when auto_shutdown is never"):
        Supervisor.start([significant("s", "transient")])
    sup = Supervisor.start([])
    with pytest.raises(InvalidChildSpec):
        sup.start_child(significant("s", "transient"))
