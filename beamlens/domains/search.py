"""A search by a pattern that somebody else wrote: bounded, whatever the pattern is."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from math import factorial
from re import _constants as ops  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
from re import _parser as parser  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

from beamlens.domains.arguments import error

_MOST_PATTERN = 200
_MOST_TEXT = 500
_LEAST_TEXT = 150
_MOST_STEPS = 1_000_000
_SINGLE = frozenset({ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN})
_REPEATS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, and how many characters of a text it may be sought in."""

    compiled: re.Pattern[str]
    most_text: int


@dataclass(slots=True)
class _Ways:
    """In how many ways a pattern can be tried at one place: `unbounded` repeats, and a factor for all else."""

    unbounded: int = 0
    factor: int = 1

    def steps(self, length: int) -> float:
        return float(self.factor * length ** (self.unbounded + 1) / factorial(self.unbounded + 1))


class _TooLongError(Exception):
    pass


def compile_pattern(pattern: str) -> Pattern | dict[str, Any]:
    """Compile a pattern, without regard to case, or say what is wrong with it as a callback's error.

    Python's engine holds the GIL while it searches, so what could take long is refused, judged by the parsed pattern:
    a repeat of anything but a single character or class, references, look-arounds, more than two unbounded repeats,
    too many optional parts. The more ways a pattern can be tried, the less of a text is searched: 150 to 500
    characters.
    """
    if len(pattern) > _MOST_PATTERN:
        return error("bad_pattern", f"the pattern has {len(pattern)} characters; at most {_MOST_PATTERN} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ways = _Ways()
            _weigh(parser.parse(pattern), ways)
            length = next((n for n in range(_MOST_TEXT, _LEAST_TEXT - 1, -10) if ways.steps(n) <= _MOST_STEPS), 0)
            if length:
                return Pattern(re.compile(pattern, re.IGNORECASE), length)
    except _TooLongError:
        pass
    except (re.error, OverflowError, RecursionError) as wrong:
        return error("bad_pattern", f"not a regular expression: {wrong}")
    reason = "repeat only single characters or classes, at most two of them without end; no references"
    return error("bad_pattern", f"the pattern could take too long: {reason}")


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the pattern is found in the first characters of a text."""
    return pattern.compiled.search(text[: pattern.most_text]) is not None


def _weigh(parsed: Any, ways: _Ways) -> None:
    for op, value in parsed:
        if op in _REPEATS:
            least, most, body = value
            if len(body) != 1 or body[0][0] not in _SINGLE:
                raise _TooLongError
            if most - least >= _MOST_TEXT:
                ways.unbounded += 1
            else:
                ways.factor *= most - least + 1
        elif op is ops.SUBPATTERN:
            _weigh(value[-1], ways)
        elif op is ops.BRANCH:
            ways.factor *= len(value[1])
            for branch in value[1]:
                _weigh(branch, ways)
        elif op is not ops.AT and op not in _SINGLE:
            raise _TooLongError
