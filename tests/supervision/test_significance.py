"""Children whose end ends their supervisor."""

from __future__ import annotations

import threading

import pytest

from beamlens_actors import Normal, Shutdown
from beamlens_supervision import (
    ChildSpec,
    InvalidChildSpec,
    Supervisor,
)
from tests.supervision.helpers import (
    ENDS,
    LIMIT,
    crash,
    end,
    states,
    worker,
)


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
