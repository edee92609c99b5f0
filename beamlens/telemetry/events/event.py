"""One kind of event, and how an emission is compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Types = type | tuple[type, ...]

NUMBER: Types = (int, float)
NUMBER_OR_NONE: Types = (int, float, type(None))
TEXT_OR_NONE: Types = (str, type(None))
# An Alert and an Insight: their models lie above this layer, so they are declared as objects here.
FINDING: Types = object
INSIGHT: Types = object

COMMON: Mapping[str, Types] = {"instance": str}
OPTIONAL: Mapping[str, Types] = {"trace_id": str}

# Whose words an event holds: ``untrusted`` when text from the watched process may be among them, else ``trusted``.
TRUST: Mapping[str, Types] = {"trust": str}


class UndeclaredEvent(TypeError):  # noqa: N818 - as the other errors are named
    """An emission that the catalogue does not know, or of other shape. Raised in tests only."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        name: Dotted name without the ``beamlens.`` prefix.
        doc: When it is emitted.
        measurements: Name to type of each number; ``system_time`` is seconds since the epoch, ``duration`` seconds.
        metadata: Name to type of each keyword, besides ``instance`` and ``trace_id``.
    """

    name: str
    doc: str
    measurements: Mapping[str, Types] = field(default_factory=dict)
    metadata: Mapping[str, Types] = field(default_factory=dict)

    def check(self, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Compare an emission with its entry.

        Raises:
            UndeclaredEvent: A name is missing, surplus, or of another type.
        """
        _compare(self.name, "measurement", {"system_time": NUMBER, **self.measurements}, {}, measurements)
        _compare(self.name, "metadata", {**COMMON, **self.metadata}, OPTIONAL, metadata)


def _compare(
    event: str, what: str, declared: Mapping[str, Types], optional: Mapping[str, Types], given: Mapping[str, Any]
) -> None:
    if missing := declared.keys() - given.keys():
        raise UndeclaredEvent(f"{event}: {what} {', '.join(sorted(missing))} is missing")
    known = {**declared, **optional}
    if surplus := given.keys() - known.keys():
        raise UndeclaredEvent(f"{event}: {what} {', '.join(sorted(surplus))} is not declared")
    for name, value in given.items():
        if not isinstance(value, known[name]):
            raise UndeclaredEvent(f"{event}: {what} {name} is {type(value).__name__}, declared {known[name]}")
