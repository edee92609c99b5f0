from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens_supervision import InvalidSupervisorOption
from beamlens_supervision.strategies import affected, check_auto_shutdown, check_strategy


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("one_for_one", ["b"]), ("one_for_all", ["a", "b", "c"]), ("rest_for_one", ["b", "c"])],
)
def test_who_is_restarted_with_a_failed_child(strategy: str, expected: list[str]) -> None:
    assert affected(strategy, ["a", "b", "c"], "b") == expected  # type: ignore[arg-type]


@given(st.lists(st.integers(), min_size=1, unique=True), st.data())
def test_rest_for_one_leaves_exactly_those_before(children: list[int], data: st.DataObject) -> None:
    failed = data.draw(st.sampled_from(children))
    rest = affected("rest_for_one", children, failed)
    assert children[: len(children) - len(rest)] + rest == children
    assert rest[0] == failed


def test_an_unknown_strategy_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidSupervisorOption, match="one_for_one, one_for_all, rest_for_one"):
        check_strategy("simple_one_for_one")


def test_an_unhashable_strategy_is_refused_too() -> None:
    with pytest.raises(InvalidSupervisorOption, match="strategy must be one of"):
        check_strategy(["one_for_one"])


def test_an_unknown_auto_shutdown_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidSupervisorOption, match="never, any_significant, all_significant"):
        check_auto_shutdown("always")
