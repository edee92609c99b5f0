"""A search by a pattern that somebody else wrote: bounded, whatever the pattern is."""

from __future__ import annotations

import re
from typing import Any

from beamlens.domains.arguments import error

_MOST_PATTERN = 200
_MOST_TEXT = 500
# A repeat of something that repeats, as in (a+)+ or (a|b*)*, can take exponential time.
_NESTED = re.compile(r"[+*}?]\)*[^()|]*\)\s*[+*{]|\)\s*[+*{].*\)\s*[+*{]")
_BACKREFERENCE = re.compile(r"\\[1-9]|\(\?P=")
_MOST_REPEATS = 3


def compile_pattern(pattern: str) -> re.Pattern[str] | dict[str, Any]:
    """Compile a pattern, without regard to case, or say what is wrong with it as a callback's error.

    Refused are patterns that can take very long: longer than 200 characters, a repeated group that repeats inside,
    back references, more than three unbounded repeats. Search with it only in texts of at most 500 characters.
    """
    if len(pattern) > _MOST_PATTERN:
        return error("bad_pattern", f"the pattern has {len(pattern)} characters; at most {_MOST_PATTERN} are allowed")
    repeats = len(re.findall(r"(?<!\\)(?:[*+]|\{\d*,\d*\})", pattern))
    if _NESTED.search(pattern) or _BACKREFERENCE.search(pattern) or repeats > _MOST_REPEATS:
        return error("bad_pattern", "the pattern could take too long: no nested repeats, no back references, 3 repeats")
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as wrong:
        return error("bad_pattern", f"not a regular expression: {wrong}")


def matches(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern is found in the first 500 characters of a text."""
    return pattern.search(text[:_MOST_TEXT]) is not None
