from __future__ import annotations

import gc
import threading

import pytest

from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT


def test_first_abort_wins_and_its_reason_stays() -> None:
    signal = AbortSignal()
    assert (signal.aborted, signal.reason) == (False, None)
    signal.raise_if_aborted()
    assert signal.abort("first") is True
    assert signal.abort("second") is False
    assert (signal.aborted, signal.reason) == (True, "first")
    with pytest.raises(Aborted) as caught:
        signal.raise_if_aborted()
    assert caught.value.reason == "first"


def test_children_abort_with_their_parent_at_any_depth_and_never_upwards() -> None:
    parent = AbortSignal()
    child, sibling = parent.child(), parent.child()
    grandchild = child.child()
    child.abort("child")
    assert [parent.aborted, sibling.aborted, grandchild.aborted] == [False, False, True]
    parent.abort("parent")
    assert [child.reason, sibling.reason, grandchild.reason] == ["child", "parent", "child"]


def test_child_of_an_aborted_parent_is_born_aborted() -> None:
    parent = AbortSignal()
    parent.abort("over")
    assert parent.child().reason == "over"


def test_callbacks_run_once_in_order_at_once_when_late_and_not_when_taken_back() -> None:
    signal, seen = AbortSignal(), []
    signal.on_abort(lambda: seen.append(1))
    take_back = signal.on_abort(lambda: seen.append("never"))
    signal.on_abort(lambda: 1 / 0)
    signal.on_abort(lambda: seen.append(2))
    take_back()
    signal.abort()
    signal.abort()
    assert seen == [1, 2]
    signal.on_abort(lambda: seen.append(3))
    assert seen == [1, 2, 3]


def test_wait_is_on_the_clock() -> None:
    signal, result = AbortSignal(), []
    with FakeClock() as clock:
        for _ in range(2):
            thread = threading.Thread(target=lambda: result.append(signal.wait(5)))
            thread.start()
            clock.wait_for_waiters(1)
            if result:
                signal.abort()
            else:
                clock.advance(5)
            thread.join(LIMIT)
    assert result == [False, True]


def test_parent_does_not_keep_its_finished_children() -> None:
    parent = AbortSignal()
    for _ in range(100):
        parent.child()
    gc.collect()
    assert len(parent._children) == 0


def test_child_with_a_callback_survives_until_the_parent_aborts() -> None:
    parent, seen = AbortSignal(), []
    parent.child().on_abort(lambda: seen.append("aborted"))
    gc.collect()
    parent.abort()
    assert seen == ["aborted"]


def test_racing_aborts_call_back_once() -> None:
    for _ in range(50):
        signal, seen, barrier = AbortSignal(), [], threading.Barrier(4)  # type: ignore[var-annotated]
        signal.on_abort(lambda seen=seen: seen.append(1))  # type: ignore[misc]

        def abort(signal: AbortSignal = signal, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LIMIT)
            signal.abort()

        threads = [threading.Thread(target=abort) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert seen == [1]


def test_parent_forgets_a_child_whose_callbacks_were_taken_back_or_ran() -> None:
    parent = AbortSignal()
    parent.child().child().on_abort(print)()
    child = parent.child()
    child.on_abort(lambda: None)
    child.abort()
    del child
    gc.collect()
    assert (len(parent._children), len(parent._callbacks)) == (0, 0)
