"""Which children are restarted when one has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

from beamlens_supervision.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]

T = TypeVar("T")


def check_strategy(strategy: object) -> None:
    """Refuse what is no strategy.

    Raises:
        InvalidSupervisorOption: naming the choices.
    """
    check_choice("strategy", strategy, get_args(Strategy))


def check_auto_shutdown(auto_shutdown: object) -> None:
    """Refuse what is no `auto_shutdown`.

    Raises:
        InvalidSupervisorOption: naming the choices.
    """
    check_choice("auto_shutdown", auto_shutdown, get_args(AutoShutdown))


def affected(strategy: Strategy, children: Sequence[T], failed: T) -> list[T]:
    """The children to stop (in reverse) and start (in order) when `failed`, one of them, has ended.

    `one_for_one` is the failed one alone, `one_for_all` all, `rest_for_one` the failed and those after it.
    """
    if strategy == "one_for_one":
        return [failed]
    if strategy == "one_for_all":
        return list(children)
    return list(children[children.index(failed) :])
