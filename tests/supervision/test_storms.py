"""Children that cannot be restarted, at once or after a while: the supervisor stays responsive."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Killed, Shutdown, offload
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    AlreadyPresent,
    ChildCounts,
    ChildRestarted,
    ChildRestarting,
    ChildSpec,
    Supervisor,
)
from beamlens_supervision.children import Child
from beamlens_supervision.parent import Request
from beamlens_supervision.retries import Retries
from tests.supervision.helpers import (
    LIMIT,
    Boom,
    Events,
    Flaky,
    Worker,
    crash,
    kill,
    refs,
    states,
    worker,
)

MANY = {"max_restarts": 1000}


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


def test_a_retry_that_waits_in_the_mailbox_is_dropped_when_its_child_is_terminated_before() -> None:
    go, entered = threading.Event(), threading.Event()
    calls: list[int] = []

    def start() -> Any:
        calls.append(1)
        if len(calls) > 1:
            entered.set()
            offload(go.wait, LIMIT)
            raise Boom
        return Worker.start("a")

    sup = Supervisor.start([ChildSpec("a", start)], max_restarts=1000)
    crash(sup.child("a"))
    assert entered.wait(LIMIT)
    # Handled after the attempt that is under way, and before the next, which that one will ask for.
    terminated = sup.ask(Request("terminate_child", ("a",)), block=False)
    go.set()
    terminated.get(timeout=LIMIT)
    sup.count_children()
    assert (states(sup.which_children()), len(calls)) == ({"a": "stopped"}, 2)


def test_a_retry_that_comes_up_after_the_end_of_its_supervisor_is_nobodys() -> None:
    sup = Supervisor.start([])
    sup.stop(timeout=LIMIT)
    retries = Retries(sup)
    retries.add(Child(worker("a")), 0.0, counted=True)
    assert not retries.untold
