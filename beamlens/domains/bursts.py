"""From a burst of failures to its cause: which place, which exception, is it a dependency that fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes.exceptions import ExceptionText
from beamlens.probes.failures import is_dependency_failure, template, text_says_dependency

_MAJORITY = 0.6
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: an error record, an exception, or both.

    Attributes:
        text: Its message.
        place: Where it was raised, else where it was logged.
        exception: What was raised, if anything.
        route: Route of the request that it happened in, ``""`` without one.
    """

    text: str
    place: Place | None
    exception: ExceptionText | None
    route: str = ""

    @property
    def kind(self) -> str:
        """Its exception's type, or the template of its message."""
        return self.exception.type if self.exception is not None else template(self.text)

    @property
    def dependency(self) -> bool:
        """Whether it says that something outside of the process failed."""
        if self.exception is not None:
            return is_dependency_failure(self.exception)
        return text_says_dependency(self.text)


def explain(failures: Sequence[Failure], seconds: float, what: str) -> list[Evidence]:
    """Weigh the failures of a window.

    Args:
        failures: The failures, newest first.
        seconds: Length of the window.
        what: What they are called, such as ``"errors"``.
    """
    if not failures:
        return []
    # A chain of layers logs one failure several times, with and without its exception; those with one say where.
    telling = [failure for failure in failures if failure.exception is not None] or list(failures)
    places = Counter(_key(failure.place) for failure in telling if failure.place is not None)
    if not places:
        return [_judge(telling, 1.0, len(failures), seconds, what)]
    key, count = places.most_common(1)[0]
    group = [failure for failure in telling if failure.place is not None and _key(failure.place) == key]
    return [_judge(group, count / len(telling), len(failures), seconds, what)]


def _key(place: Place) -> tuple[str, int]:
    return place.file, place.line


def _judge(group: list[Failure], share: float, total: int, seconds: float, what: str) -> Evidence:
    dependency = sum(failure.dependency for failure in group) / len(group)
    newest = group[0]
    kinds = ", ".join(f"{kind} ({count})" for kind, count in Counter(failure.kind for failure in group).most_common(3))
    message = newest.exception.message if newest.exception is not None else newest.text
    where = newest.place or "an unknown line"
    route = _route(group)
    text = (
        f"{len(group)} of {total} {what} in the last {seconds:.0f} s come from {where}: {kinds}; "
        f"{route.text if route else ''}the latest: {message[:200]}"
    )
    clear = share >= _MAJORITY and len(group) >= _FEWEST and newest.place is not None
    if dependency >= _MAJORITY:
        cause: str = CauseKind.FAILING_DEPENDENCY
        strength = Strength.CONCLUSIVE if clear and newest.exception is not None else Strength.SUPPORTING
    else:
        raised = newest.exception is not None
        cause = CauseKind.EXCEPTION_BURST if raised else CauseKind.ERROR_BURST
        strength = Strength.CONCLUSIVE if clear and raised else Strength.SUPPORTING
    return Evidence(
        text=text,
        cause=cause,
        strength=strength,
        place=newest.place,
        data={"count": len(group), "total": total, "seconds": seconds, "share": round(share, 3)}
        | ({"route": route.name, "route_share": round(route.share, 3)} if route else {}),
    )


class _Route(NamedTuple):
    name: str
    share: float

    @property
    def text(self) -> str:
        return f"{100 * self.share:.0f} % of them in {self.name}; "


def _route(group: Sequence[Failure]) -> _Route | None:
    """The request that most of them happened in, if it is a majority."""
    name, count = Counter(failure.route for failure in group).most_common(1)[0]
    share = count / len(group)
    return _Route(name, share) if name and share >= _MAJORITY else None
