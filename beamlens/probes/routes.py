"""A name for a path that no framework has named: what differs from one request to the next is left out."""

from __future__ import annotations

import re

UNMATCHED = "(unmatched)"
"""The route of a request that matched none of a framework's routes: 404, or answered before it was routed."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_MOST_SEGMENTS = 8
_MOST_SEGMENT = 40
# Letters, with a digit or two at the end, as in v2 or page10; words joined by - _ . stay words.
_WORD = re.compile(r"[A-Za-z]+\d{0,2}(?:[-_.][A-Za-z]+\d{0,2})*\Z")
_HEX = re.compile(r"(?=.*\d)[0-9a-fA-F]{6,}\Z")


def normalise(path: str) -> str:
    """A path with ``{id}`` for each segment that is no plain word, at most 8 segments: bounded, mostly.

    Args:
        path: A raw path, with or without a query, which is left out.
    """
    segments = path.partition("?")[0].split("/", _MOST_SEGMENTS + 1)[1:]
    shown = [segment if not segment or _is_word(segment) else "{id}" for segment in segments[:_MOST_SEGMENTS]]
    more = "/..." if len(segments) > _MOST_SEGMENTS else ""
    return "/" + "/".join(shown) + more


def _is_word(segment: str) -> bool:
    return len(segment) <= _MOST_SEGMENT and _WORD.match(segment) is not None and _HEX.match(segment) is None


def known_method(method: str) -> str:
    """The method, ``OTHER`` for one that HTTP does not know: a client may send any text."""
    return method if method in _METHODS else "OTHER"
