from __future__ import annotations

import math
from typing import Any

import pytest

from beamlens_actors import Crash, Killed, NoProcess, Normal, Shutdown
from beamlens_supervision import (
    ChildSpec,
    DynamicSupervisor,
    InvalidChildSpec,
    Supervisor,
    TaskSupervisor,
    check_child_specs,
    child_spec,
)
from tests.supervision.helpers import Worker, states

REASONS = [Normal(), Shutdown(), Shutdown("detail"), Crash(ValueError()), Killed(), NoProcess()]


def test_defaults_are_permanent_worker_with_five_seconds() -> None:
    spec = ChildSpec("w", Worker.start)
    assert (spec.restart, spec.type, spec.shutdown_timeout) == ("permanent", "worker", 5.0)


def test_a_supervisor_is_waited_for_without_limit_by_default() -> None:
    assert ChildSpec("s", Worker.start, type="supervisor").shutdown_timeout is None


@pytest.mark.parametrize(("shutdown", "timeout"), [(0, 0), (2.5, 2.5), (math.inf, None), ("brutal_kill", 0.0)])
def test_shutdown_of_a_worker_may_be_any_time(shutdown: Any, timeout: float | None) -> None:
    assert ChildSpec("w", Worker.start, shutdown=shutdown).shutdown_timeout == timeout


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", []),
        ("id", ("a", [])),
        ("start", "Worker.start"),
        ("args", [1]),
        ("kwargs", 3),
        ("kwargs", {1: 2}),
        ("restart", "sometimes"),
        ("restart", []),
        ("type", "actor"),
        ("shutdown", -1),
        ("shutdown", math.nan),
        ("shutdown", True),
        ("shutdown", "kill"),
        ("significant", 1),
        ("backoff", -0.1),
        ("backoff", math.inf),
        ("backoff", "long"),
    ],
)
def test_a_bad_value_is_refused_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        ChildSpec(**{"id": "w", "start": Worker.start, field: value})
    assert (caught.value.field, caught.value.value) == (field, value)
    assert f"{field} must be " in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_permanent_child_cannot_be_significant() -> None:
    with pytest.raises(InvalidChildSpec, match="significant must be False for a permanent child"):
        ChildSpec("w", Worker.start, significant=True)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="modules"):
        ChildSpec("w", Worker.start, modules=[])  # type: ignore[call-arg]


def test_check_refuses_two_children_of_one_id() -> None:
    with pytest.raises(InvalidChildSpec, match="id must be given once in a list, not 'w'"):
        check_child_specs([ChildSpec("w", Worker.start), ChildSpec("w", Worker.start)])


def test_check_refuses_an_actor_class_with_the_way_to_write_it() -> None:
    with pytest.raises(InvalidChildSpec, match=r'ChildSpec\("worker", Worker.start\)'):
        check_child_specs([Worker])  # type: ignore[list-item]


def test_check_refuses_what_is_no_spec() -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        check_child_specs([{"id": "w"}])  # type: ignore[list-item]
    assert caught.value.field == "spec"


def test_check_starts_nothing() -> None:
    def start() -> None:
        raise AssertionError

    check_child_specs([ChildSpec("w", start)])


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_a_permanent_child_wants_a_restart_after_every_reason(reason: Any) -> None:
    assert ChildSpec("w", Worker.start).wants_restart(reason)


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_a_transient_child_wants_a_restart_after_an_abnormal_end_only(reason: Any) -> None:
    spec = ChildSpec("w", Worker.start, restart="transient")
    assert spec.wants_restart(reason) is not isinstance(reason, Normal | Shutdown)


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_a_temporary_child_never_wants_a_restart(reason: Any) -> None:
    assert not ChildSpec("w", Worker.start, restart="temporary").wants_restart(reason)


class Store(Worker):
    @classmethod
    def child_spec(cls, name: str = "store") -> ChildSpec:
        return ChildSpec(name, cls.start, (name,), restart="transient")


def test_a_class_that_knows_its_spec_is_asked_for_it() -> None:
    assert child_spec(Store) == ChildSpec("store", Store.start, ("store",), restart="transient")
    assert child_spec(Store, "other").id == "other"


def test_fields_of_a_spec_can_be_changed_for_one_use() -> None:
    changed = child_spec(Store, restart="permanent", id="b")
    assert changed == ChildSpec("b", Store.start, ("store",))
    assert child_spec(changed, shutdown=1.0) == ChildSpec("b", Store.start, ("store",), shutdown=1.0)
    assert Store.child_spec().restart == "transient"


def test_a_change_is_checked_like_any_field() -> None:
    with pytest.raises(InvalidChildSpec, match=r"restart must be one of .*, not 'never'"):
        child_spec(Store, restart="never")
    with pytest.raises(TypeError, match="modules"):
        child_spec(Store, modules=[])


def test_a_class_without_a_spec_is_refused_with_the_way_to_write_one() -> None:
    with pytest.raises(InvalidChildSpec, match=r"child_spec\(\) .* as in ChildSpec\(\"worker\", Worker.start\)"):
        child_spec(Worker)


@pytest.mark.parametrize("target", [None, "Store", 3])
def test_what_is_no_class_is_refused_otherwise(target: Any) -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        child_spec(target)
    assert str(caught.value).endswith(f"that returns one, not {target!r}")


def test_a_hook_that_returns_something_else_is_named() -> None:
    class Bad:
        @staticmethod
        def child_spec() -> str:
            return "store"

    with pytest.raises(InvalidChildSpec, match=r"what .*Bad.child_spec returns must be a ChildSpec, not 'store'"):
        child_spec(Bad)


def test_every_supervisor_has_a_spec_with_which_it_joins_another_tree() -> None:
    inner = Supervisor.child_spec("inner", [child_spec(Store)], strategy="one_for_all", restart="transient")
    dynamic = DynamicSupervisor.child_spec("dynamic", max_children=1, shutdown=3.0)
    tasks = child_spec(TaskSupervisor, "tasks", significant=False)
    sup = Supervisor.start([inner, dynamic, tasks])
    assert [(info.id, info.type) for info in sup.which_children()] == [
        ("inner", "supervisor"),
        ("dynamic", "supervisor"),
        ("tasks", "supervisor"),
    ]
    assert (inner.restart, inner.shutdown_timeout, dynamic.shutdown_timeout) == ("transient", None, 3.0)
    assert states(sup.child("inner").which_children()) == {"store": "running"}  # type: ignore[union-attr]
