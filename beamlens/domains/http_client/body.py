"""Whether the body of an answer of ``http.client`` broke off: told by how the answer is closed."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any

from beamlens.domains.http_client.failure import kind_of

_READS = frozenset({"read", "read1", "readinto", "readline", "peek"})
_READERS = frozenset({"http.client", "urllib3.response"})
_MOST_CAUSES = 5
_MOST_FRAMES = 50


def broken(response: Any, closer: str, error: BaseException | None) -> BaseException | None:
    """What ended the body before its end; ``None`` where it ended well, or the program closed it.

    Args:
        response: The answer that is about to close.
        closer: Name of the function that closes it.
        error: The exception that is being handled, if one is. It counts where it was raised by a read of this answer:
            a program may well close an answer while it handles something else.
    """
    if closer in _READS and response.length:
        return _cut_off(response)
    # A generator that is dropped half-way was not read further, which is no trouble.
    if (
        error is None
        or isinstance(error, GeneratorExit)
        or not any(_reads(frame, response) for frame in _frames(error))
    ):
        return None
    # What is neither a system's error nor a library's is the end of the answer where the size of a part should be.
    return _cut_off(response) if isinstance(error, ValueError) and kind_of(error) == "other" else error


def _cut_off(response: Any) -> BaseException:
    from http.client import IncompleteRead  # here, as it is not imported by us

    return IncompleteRead(b"", response.length)


def _frames(error: BaseException) -> Iterator[FrameType]:
    one: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if one is None:
            return
        trace = one.__traceback__
        left = _MOST_FRAMES
        while trace is not None and left:
            yield trace.tb_frame
            trace, left = trace.tb_next, left - 1
        one = one.__context__


def _reads(frame: FrameType, response: Any) -> bool:
    if frame.f_globals.get("__name__") not in _READERS:
        return False
    reader = frame.f_locals.get("self")
    return reader is response or getattr(reader, "__dict__", {}).get("_original_response") is response
