"""`PartitionSupervisor`: routing, resizing, and what it is given."""

from __future__ import annotations

import os
from typing import Any

import pytest

from beamlens_actors import ActorDead, Crash, Normal, Shutdown
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    ChildCounts,
    ChildNotFound,
    ChildRestarting,
    ChildSpec,
    ChildStartError,
    InvalidChildSpec,
    InvalidSupervisorOption,
    NoPartitions,
    PartitionSupervisor,
    PartitionSupervisorRef,
    Supervisor,
    tree,
)
from tests.supervision.helpers import LIMIT, Flaky, Worker, crash, end, refs, states, worker


def four(log: list[Any] | None = None, **options: Any) -> PartitionSupervisorRef:
    return PartitionSupervisor.start(worker("w", log), 4, **options)


def test_it_starts_as_many_children_as_told_numbered_from_zero() -> None:
    sup = four()
    assert states(sup.which_children()) == dict.fromkeys(range(4), "running")
    assert (sup.partitions(), sup.count_children()) == (4, ChildCounts(4, 4, 0, 4))


def test_by_default_there_is_one_for_each_cpu() -> None:
    assert PartitionSupervisor.start(worker("w")).partitions() == os.cpu_count()


def test_whole_numbers_go_round_and_a_key_always_leads_to_the_same_child() -> None:
    sup = four()
    children = refs(sup.which_children())
    assert [sup.route(key) for key in range(-1, 6)] == [children[number] for number in (3, 0, 1, 2, 3, 0, 1)]
    keys: list[Any] = ["user:1", ("a", 2), 1.5, None, frozenset({1})]
    assert [sup.route(key) for key in keys] == [sup.route(key) for key in keys]


def test_keys_of_any_kind_reach_every_child() -> None:
    sup = four()
    assert {sup.route(f"user:{number}") for number in range(200)} == set(refs(sup.which_children()).values())


def test_a_key_that_is_not_hashable_is_refused() -> None:
    sup = four()
    with pytest.raises(InvalidSupervisorOption, match=r"key must be hashable, not \[1\]"):
        sup.route([1])  # type: ignore[arg-type]
    assert sup.is_alive()


def test_each_child_may_be_given_arguments_of_its_own() -> None:
    spec = ChildSpec("w", Worker.start, ("w",))
    sup = PartitionSupervisor.start(spec, 3, with_arguments=lambda args, number: (f"{args[0]}{number}",))
    assert [sup.route(number).ask("name?") for number in range(3)] == ["w0", "w1", "w2"]


def test_a_restarted_child_is_routed_to_under_its_number() -> None:
    sup = four()
    before = refs(sup.which_children())
    crash(before[2])
    sup.count_children()
    assert sup.route(2) not in set(before.values())
    assert [sup.route(number) for number in (0, 1, 3)] == [before[0], before[1], before[3]]


def test_a_child_that_waits_for_its_restart_is_not_routed_to() -> None:
    with FakeClock() as clock:
        sup = PartitionSupervisor.start(worker("w", backoff=1.0), 2)
        crash(sup.route(1))
        sup.count_children()
        with pytest.raises(ChildRestarting, match="1"):
            sup.route(1)
        clock.advance(1.0)
        sup.count_children()
        assert sup.route(1).is_alive()


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_a_child_that_has_ended_for_good_is_not_found(restart: Any) -> None:
    sup = PartitionSupervisor.start(worker("w", restart=restart), 2)
    end(sup.route(0), Normal())
    sup.count_children()
    with pytest.raises(ChildNotFound):
        sup.route(0)
    assert sup.route(1).is_alive()


def test_shrinking_ends_the_last_ones_and_routes_to_the_others() -> None:
    sup = four()
    before = refs(sup.which_children())
    sup.resize(2)
    assert [before[number].join(LIMIT) for number in (2, 3)] == [Shutdown(), Shutdown()]
    assert (sup.partitions(), sup.which_children()[0].ref) == (2, before[0])
    assert [sup.route(key) for key in range(4)] == [before[0], before[1]] * 2


def test_shrunk_to_zero_there_is_nowhere_to_route_to_and_it_grows_again() -> None:
    sup = four(name="Counters")
    sup.resize(0)
    assert (sup.partitions(), sup.which_children()) == (0, [])
    with pytest.raises(NoPartitions, match="Counters has no partitions"):
        sup.route("key")
    sup.resize(4)
    assert states(sup.which_children()) == dict.fromkeys(range(4), "running")
    assert [sup.route(number).ask("name?") for number in range(4)] == ["w"] * 4


def test_resizing_to_what_it_is_changes_nothing() -> None:
    sup = four()
    before = sup.which_children()
    sup.resize(4)
    assert sup.which_children() == before


@pytest.mark.parametrize("value", [5, -1, 1.0, True, None, "2"])
def test_growth_above_the_start_size_and_what_is_no_size_is_refused(value: Any) -> None:
    sup = four()
    expected = f"partitions must be a whole number from 0 to 4, as many as it started with, not {value!r}"
    with pytest.raises(InvalidSupervisorOption) as caught:
        sup.resize(value)
    assert (str(caught.value), sup.partitions()) == (expected, 4)


def test_growth_that_fails_keeps_what_it_started() -> None:
    sup = PartitionSupervisor.start(ChildSpec("w", Flaky(1, after=4)), 3)
    sup.resize(0)
    with pytest.raises(ChildStartError):
        sup.resize(3)
    assert (sup.partitions(), len(sup.which_children())) == (1, 1)
    sup.resize(3)
    assert sup.route(2).is_alive()


def test_shrinking_cancels_the_restart_of_one_that_waits_for_it() -> None:
    with FakeClock() as clock:
        flaky = Flaky(0)
        sup = PartitionSupervisor.start(ChildSpec("w", flaky, backoff=1.0), 2)
        crash(sup.route(1))
        sup.resize(1)
        assert clock.waiters() == 0
        clock.advance(2.0)
        assert (len(sup.which_children()), flaky.calls) == (1, 2)


def test_a_child_that_fails_to_start_leaves_nothing() -> None:
    log: list[str] = []
    starts: list[int] = []

    def start() -> Any:
        starts.append(1)
        return Flaky(1)("w", log) if len(starts) == 3 else Worker.start("w", log)

    with pytest.raises(ChildStartError, match="child 2 "):
        PartitionSupervisor.start(ChildSpec("w", start), 4)
    assert log == ["+w", "+w", "-w", "-w"]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_partitions_must_be_a_positive_whole_number(value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption, match="partitions must be a whole number of at least 1, not"):
        PartitionSupervisor.start(worker("w"), value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": 3}, InvalidSupervisorOption, "name must be a string or None, not 3"),
        ({"with_arguments": 3}, InvalidSupervisorOption, "with_arguments must be callable or None, not 3"),
        ({"with_arguments": lambda args, number: [number]}, InvalidChildSpec, r"args must be a tuple, not \[0\]"),
        ({"strategy": "simple_one_for_one"}, InvalidSupervisorOption, "strategy must be one of"),
        ({"max_restarts": -1}, InvalidSupervisorOption, "max_restarts must be"),
        ({"auto_shutdown": "any_significant"}, TypeError, "auto_shutdown"),
    ],
)
def test_a_bad_option_is_refused_and_starts_nothing(options: Any, error: type[Exception], message: str) -> None:
    log: list[str] = []
    with pytest.raises(error, match=message):
        four(log, **options)
    assert log == []


@pytest.mark.parametrize("spec", [Worker, None, worker("w", restart="transient", significant=True)])
def test_it_needs_one_spec_that_is_not_significant(spec: Any) -> None:
    with pytest.raises(InvalidChildSpec):
        PartitionSupervisor.start(spec)


def test_a_dead_one_says_so() -> None:
    sup = four()
    sup.stop(timeout=LIMIT)
    for ask in (lambda: sup.route(1), lambda: sup.resize(1), sup.which_children):
        with pytest.raises(ActorDead, match="has ended: Shutdown"):
            ask()


def test_it_gives_up_as_every_supervisor() -> None:
    sup = four(max_restarts=0)
    crash(sup.route(0))
    assert sup.join(LIMIT) == Shutdown()


def test_one_for_all_restarts_all_partitions() -> None:
    sup = four(strategy="one_for_all")
    before = set(refs(sup.which_children()).values())
    crash(sup.route(1))
    assert not before & set(refs(sup.which_children()).values())
    assert sup.route(3).ask("name?") == "w"


def test_it_stands_in_a_tree_and_comes_back_at_full_size() -> None:
    spec = PartitionSupervisor.child_spec("counters", worker("w"), 2)
    sup = Supervisor.start([spec])
    partitions: Any = sup.child("counters")
    partitions.resize(1)
    partitions.stop(Crash(ValueError()), timeout=LIMIT)
    again: Any = sup.child("counters")
    assert again.partitions() == 2
    shown = tree(sup)["children"][0]
    assert (shown["type"], [child["id"] for child in shown["children"]]) == ("supervisor", ["0", "1"])
