"""Which children are restarted when one ends: restart types and strategies."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from beamlens_actors import offload
from beamlens_supervision import (
    ChildRestarted,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
)
from tests.supervision.helpers import (
    ENDS,
    LIMIT,
    Events,
    Flaky,
    Worker,
    crash,
    refs,
    states,
    worker,
)


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


class Payload:
    """Something that can be watched for being let go."""


@pytest.mark.parametrize(("restart", "kept"), [("permanent", True), ("transient", True), ("temporary", False)])
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_only_what_may_be_restarted_keeps_its_arguments(kind: Any, restart: Any, kept: bool) -> None:
    def start(*_payload: Any, **_more: Any) -> Any:
        return Worker.start()

    sup, one, two = kind.start(), Payload(), Payload()
    seen = weakref.ref(one), weakref.ref(two)
    sup.start_child(ChildSpec("a", start, (one,), {"two": two}, restart=restart))
    del one, two
    sup.count_children()  # by now the request is let go
    gc.collect()
    assert [ref() is not None for ref in seen] == [kept, kept]


def test_the_spec_of_a_running_temporary_child_can_be_read_back_without_its_arguments() -> None:
    sup = Supervisor.start([worker("a", restart="temporary", shutdown=2.0)])
    spec = sup.get_child_spec("a")
    assert (spec.id, spec.args, spec.restart, spec.shutdown_timeout) == ("a", (), "temporary", 2.0)
