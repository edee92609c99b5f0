"""How a supervisor starts."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from beamlens_actors import (
    AlreadyRegistered,
    Registry,
    Shutdown,
    StartTimeout,
    abandoned,
    offload,
)
from beamlens_actors.testing import FakeClock, Probe
from beamlens_supervision import (
    ChildCounts,
    ChildSpec,
    ChildStartError,
    Ignore,
    InvalidChildSpec,
    InvalidSupervisorOption,
    Supervisor,
)
from tests.supervision.helpers import LIMIT, Boom, Flaky, Worker, crash, states, worker


def test_an_empty_supervisor_starts_and_stops_with_shutdown() -> None:
    sup = Supervisor.start([])
    assert sup.count_children() == ChildCounts(0, 0, 0, 0)
    assert sup.stop(timeout=LIMIT) is True
    assert sup.join() == Shutdown()


def test_children_start_in_order_each_after_the_one_before_is_ready() -> None:
    log: list[str] = []
    Supervisor.start([worker("a", log), worker("b", log), worker("c", log)])
    assert log == ["+a", "+b", "+c"]


def test_children_stop_in_reverse_order() -> None:
    log: list[str] = []
    sup = Supervisor.start([worker("a", log), worker("b", log), worker("c", log)])
    log.clear()
    sup.stop(timeout=LIMIT)
    assert log == ["-c", "-b", "-a"]


def test_a_child_that_fails_to_start_is_named_and_those_before_are_stopped_in_reverse() -> None:
    log: list[str] = []
    specs = [worker("a", log), worker("b", log), ChildSpec("bad", Flaky(1)), worker("never", log)]
    with pytest.raises(ChildStartError, match="'bad'") as caught:
        Supervisor.start(specs)
    assert caught.value.child_id == "bad"
    assert isinstance(caught.value.reason, Boom)
    assert caught.value.__cause__ is caught.value.reason
    assert log == ["+a", "+b", "-b", "-a"]
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_childs_start_raises_is_a_start_error(error: BaseException) -> None:
    def start() -> None:
        raise error

    with pytest.raises(ChildStartError) as caught:
        Supervisor.start([ChildSpec("bad", start)])
    assert caught.value.reason is error


def test_a_start_that_returns_something_else_is_a_start_error() -> None:
    with pytest.raises(ChildStartError, match="start must return a ref"):
        Supervisor.start([ChildSpec("bad", dict)])


@pytest.mark.parametrize(
    ("restart", "expected"), [("permanent", "stopped"), ("transient", "stopped"), ("temporary", None)]
)
@pytest.mark.parametrize("ignore", [Ignore, Ignore()])
def test_an_ignored_child_keeps_its_spec_unless_temporary(restart: Any, expected: str | None, ignore: Any) -> None:
    sup = Supervisor.start([ChildSpec("a", lambda: ignore, restart=restart)])
    assert states(sup.which_children()).get("a") == expected


def test_a_start_may_return_information_beside_the_ref() -> None:
    sup = Supervisor.start([])
    spec = ChildSpec("a", lambda: (Worker.start("a"), "info"))
    ref, info = sup.start_child(spec)
    assert (sup.child("a"), info) == (ref, "info")
    sup.terminate_child("a")
    assert sup.restart_child("a")[1] == "info"
    first = sup.child("a")
    crash(first)
    assert sup.child("a") not in {first, None}


def test_bad_specs_start_nothing() -> None:
    log: list[str] = []
    with pytest.raises(InvalidChildSpec):
        Supervisor.start([worker("a", log), worker("a", log)])
    assert log == []


def test_a_bad_option_starts_nothing() -> None:
    log: list[str] = []
    with pytest.raises(InvalidSupervisorOption, match="max_restarts"):
        Supervisor.start([worker("a", log)], max_restarts=-1)
    assert log == []


def test_starting_under_a_taken_name_reports_the_holder_and_starts_nothing() -> None:
    registry = Registry()
    log: list[str] = []
    first = Supervisor.options(register=(registry, "sup")).start([])
    with pytest.raises(AlreadyRegistered) as caught:
        Supervisor.options(register=(registry, "sup")).start([worker("a", log)])
    assert (caught.value.holder, log) == (first, [])


def test_after_a_stop_the_name_is_free() -> None:
    registry = Registry()
    Supervisor.options(register=(registry, "sup")).start([worker("a")]).stop(timeout=LIMIT)
    assert Supervisor.options(register=(registry, "sup")).start([]).is_alive()


def test_a_supervisor_has_the_name_it_was_given() -> None:
    assert Supervisor.start([], name="Shop.Supervisor").name == "Shop.Supervisor"


@pytest.mark.backend("threads")
def test_a_supervisor_killed_while_a_child_starts_leaves_no_child(gate: threading.Event) -> None:
    started: list[Any] = []
    entered = threading.Event()

    def slow() -> Any:
        entered.set()
        offload(gate.wait, LIMIT)
        started.append(Probe.start())  # traps exits, so that no link ends it
        return started[0]

    with FakeClock() as clock:
        errors: list[BaseException] = []

        def start() -> None:
            try:
                Supervisor.options(start_timeout=1.0).start([worker("a"), ChildSpec("slow", slow)])
            except StartTimeout as error:
                errors.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        assert entered.wait(LIMIT)
        clock.wait_for_waiters(1)
        clock.advance(1.0)
        thread.join(LIMIT)
        (left,) = abandoned()
        gate.set()
        left.join(LIMIT)
    assert len(errors) == 1
    started[0].join(LIMIT)
    assert pykka.ActorRegistry.get_all() == []


def test_a_supervisor_that_decides_not_to_run_is_ignored_and_leaves_nothing() -> None:
    def start_inner() -> Any:
        """What would be a supervisor's init: it may look before it starts anything."""
        return Ignore

    sup = Supervisor.start([ChildSpec("inner", start_inner, type="supervisor")])
    assert sup.which_children() == [("inner", None, "supervisor", "stopped")]
    assert len(pykka.ActorRegistry.get_all()) == 1


def test_a_restart_that_is_ignored_leaves_the_child_stopped_and_costs_one_restart() -> None:
    answers = [Worker.start, lambda: Ignore, Worker.start]
    sup = Supervisor.start([ChildSpec("a", lambda: answers.pop(0)())], max_restarts=1)
    crash(sup.child("a"))
    assert states(sup.which_children()) == {"a": "stopped"}
    assert sup.restart_child("a").is_alive()


def test_a_supervisor_and_its_children_run_on_the_backend_of_the_test(backend: str) -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    assert child is not None
    assert [ref._cell.backend.name for ref in (sup, child)] == [backend, backend]
