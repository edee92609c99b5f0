"""What cannot be is refused with the value shown, and nothing is started, kept or ended by it."""

from __future__ import annotations

import math
from typing import Any

import pykka
import pytest

from beamlens_actors import ActorDead, Crash, UnknownBackend
from beamlens_supervision import (
    ChildNotFound,
    ChildSpec,
    ChildStartError,
    DynamicSupervisor,
    InvalidChildSpec,
    InvalidSupervisorOption,
    Supervisor,
    TaskSupervisor,
    check_child_specs,
    format_tree,
    tree,
)
from tests.supervision.helpers import LIMIT, Worker, end, states, worker

KINDS = [Supervisor, DynamicSupervisor, TaskSupervisor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_restarts", -1),
        ("max_restarts", 1.5),
        ("max_restarts", math.inf),
        ("max_seconds", 0),
        ("max_seconds", math.inf),
        ("max_seconds", "5"),
        ("name", 3),
        ("name", b"bytes"),
        ("on_event", "print"),
    ],
)
def test_a_bad_option_is_refused_by_every_supervisor(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption) as caught:
        kind.start(**{field: value})
    assert (caught.value.field, caught.value.value) == (field, value)
    assert str(caught.value).startswith(f"{field} must be ")
    assert str(caught.value).endswith(f"not {value!r}")
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.parametrize(
    ("field", "value"), [("strategy", "simple_one_for_one"), ("strategy", None), ("auto_shutdown", "always")]
)
def test_a_bad_choice_is_refused_with_the_choices(field: str, value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption, match=f"{field} must be one of .*, not {value!r}"):
        Supervisor.start([], **{field: value})


@pytest.mark.parametrize("value", [None, [1], "ab"])
def test_extra_arguments_must_be_a_tuple(value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption) as caught:
        DynamicSupervisor.start(extra_args=value)
    assert caught.value.field == "extra_args"


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_backend_is_refused_with_the_choices(kind: Any) -> None:
    with pytest.raises(UnknownBackend, match="'fibers'; choose one of: threads, greenlets"):
        kind.start(backend="fibers")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_is_refused_with_its_name(kind: Any) -> None:
    with pytest.raises(TypeError, match="intensity"):
        kind.start(intensity=3)


def test_only_a_supervisor_may_shut_down_by_itself() -> None:
    with pytest.raises(TypeError, match="auto_shutdown"):
        DynamicSupervisor.start(auto_shutdown="any_significant")  # type: ignore[call-arg]


@pytest.mark.parametrize("specs", [5, None, worker("a"), Worker])
def test_what_is_no_collection_of_specs_is_refused(specs: Any) -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        Supervisor.start(specs)
    assert (caught.value.field, caught.value.value) == ("specs", specs)
    with pytest.raises(InvalidChildSpec, match="specs must be a collection of ChildSpec"):
        check_child_specs(specs)


def test_specs_that_raise_while_they_are_read_start_nothing() -> None:
    log: list[str] = []

    def specs() -> Any:
        yield worker("a", log)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Supervisor.start(specs())
    assert (log, pykka.ActorRegistry.get_all()) == ([], [])


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TypeError, match="'id' and 'start'"):
        ChildSpec()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'start'"):
        ChildSpec("a")  # type: ignore[call-arg]


def test_a_value_whose_repr_fails_or_is_long_is_still_refused_for_what_it_is() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(InvalidChildSpec, match=r"start must be callable, not a .*Mute without a repr"):
        ChildSpec("a", Mute())  # type: ignore[arg-type]
    with pytest.raises(InvalidChildSpec) as caught:
        ChildSpec("a", [0] * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("spec", [Worker, {"id": "a"}, None, "a"])
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_starting_what_is_no_spec_is_refused_and_the_supervisor_lives(kind: Any, spec: Any) -> None:
    sup = kind.start()
    with pytest.raises(InvalidChildSpec, match="spec must be a ChildSpec"):
        sup.start_child(spec)
    assert sup.which_children() == []


@pytest.mark.parametrize("operation", ["terminate_child", "restart_child", "delete_child", "get_child_spec"])
def test_an_id_that_is_not_hashable_is_unknown_and_the_supervisor_lives(operation: str) -> None:
    sup = Supervisor.start([worker("a")])
    for child_id in ([], ("a", {})):
        with pytest.raises(ChildNotFound):
            getattr(sup, operation)(child_id)
    assert sup.child([]) is None  # type: ignore[arg-type]
    assert states(sup.which_children()) == {"a": "running"}


@pytest.mark.parametrize("ref", [[], "a", None])
def test_what_is_no_ref_is_no_child_of_a_dynamic_supervisor(ref: Any) -> None:
    sup = DynamicSupervisor.start()
    child = sup.start_child(worker("a"))
    with pytest.raises(ChildNotFound):
        sup.terminate_child(ref)
    assert child.ask("name?") == "a"


@pytest.mark.parametrize("returned", [None, 3, (1, 2, 3), Worker])
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_a_start_that_returns_rubbish_keeps_nothing_and_the_supervisor_lives(kind: Any, returned: Any) -> None:
    sup = kind.start()
    with pytest.raises(ChildStartError) as caught:
        sup.start_child(ChildSpec("bad", lambda: returned))
    assert str(caught.value.reason) == f"start must return a ref, a (ref, info) pair or Ignore, not {returned!r}"
    assert sup.count_children().specs == 0


@pytest.mark.parametrize("start", ["run", "run_nolink", "start_child"])
def test_a_task_must_be_callable_and_its_name_a_name(start: str) -> None:
    sup = TaskSupervisor.start()
    with pytest.raises(InvalidSupervisorOption, match="fn must be callable, not 3"):
        getattr(sup, start)(3)
    with pytest.raises(InvalidSupervisorOption, match="name must be a string or None, not 3"):
        getattr(sup, start)(abs, 1, name=3)
    with pytest.raises(InvalidChildSpec, match=r"shutdown must be .*, not -1"):
        getattr(sup, start)(abs, 1, shutdown=-1)
    assert sup.count_children().specs == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_concurrency", 0),
        ("max_concurrency", True),
        ("max_concurrency", 1.5),
        ("timeout", -1),
        ("timeout", math.nan),
        ("timeout", "1"),
        ("on_timeout", "ignore"),
        ("items", 5),
        ("fn", "abs"),
    ],
)
def test_a_bad_option_of_a_stream_is_refused_before_anything_runs(field: str, value: Any) -> None:
    sup = TaskSupervisor.start()
    with pytest.raises(InvalidSupervisorOption) as caught:
        sup.stream(**{"fn": abs, "items": [1], field: value})
    assert (caught.value.field, sup.count_children().specs) == (field, 0)


@pytest.mark.parametrize("timeout", [-1, "soon", None, math.nan])
def test_a_bad_shutdown_time_of_a_task_is_refused(timeout: Any) -> None:
    task = TaskSupervisor.start().run(abs, -1)
    with pytest.raises(InvalidSupervisorOption, match="timeout must be"):
        task.shutdown(timeout)
    assert task.result(LIMIT) == 1


STATIC = {
    "which_children": (),
    "count_children": (),
    "describe": (),
    "child": ("a",),
    "get_child_spec": ("a",),
    "start_child": (worker("b"),),
    "terminate_child": ("a",),
    "restart_child": ("a",),
    "delete_child": ("a",),
}
DYNAMIC = {"which_children": (), "count_children": (), "start_child": (worker("b"),), "terminate_child": (None,)}
TASKS = {"run": (abs, 1), "run_nolink": (abs, 1), "start_child": (abs, 1), "count_children": ()}
CALLS = [
    (kind, name, args)
    for kind, calls in zip(KINDS, (STATIC, DYNAMIC, TASKS), strict=True)
    for name, args in calls.items()
]


@pytest.mark.parametrize(("kind", "name", "args"), CALLS)
def test_every_call_on_a_dead_supervisor_says_so_with_its_reason(kind: Any, name: str, args: Any) -> None:
    sup = kind.start(name="Late")
    end(sup, Crash(ValueError("why")))
    with pytest.raises(ActorDead, match=r"Late has ended: Crash\(exception=ValueError\('why'\)\)"):
        getattr(sup, name)(*args)
    assert (tree(sup)["state"], format_tree(sup)) == ("stopped", "Late (supervisor, stopped)")
