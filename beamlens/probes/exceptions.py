"""An exception as text: type, message, frames, what caused it. Never the exception itself."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

from beamlens.evidence import Place
from beamlens.probes.frames import Frame, user_place

_MOST_FRAMES = 64
_MOST_MESSAGE = 500
_MOST_CHAIN = 5


class ExceptionText(NamedTuple):
    """What is kept of an exception.

    Attributes:
        type: Qualified name with its module, ``builtins`` left out.
        bases: Names of the types that it derives from, most special first, for classification.
        message: At most 500 characters.
        frames: Innermost first, at most 64, the innermost ones.
        chain: ``type: message`` of its causes and contexts, nearest first, at most 5.
    """

    type: str
    bases: tuple[str, ...]
    message: str
    frames: tuple[Frame, ...]
    chain: tuple[str, ...]

    @property
    def place(self) -> Place | None:
        """The innermost line of the user's code."""
        return user_place(self.frames)


def describe(error: BaseException, traceback: TracebackType | None = None) -> ExceptionText:
    """Take the text out of an exception; about 10 us. Runs its ``__str__``, guarded."""
    return ExceptionText(
        type=_name(type(error)),
        bases=tuple(_name(cls) for cls in type(error).__mro__[:-1]),
        message=_message(error),
        frames=_frames(traceback if traceback is not None else error.__traceback__),
        chain=_chain(error),
    )


def _name(cls: type) -> str:
    module = cls.__module__
    return cls.__qualname__ if module in ("builtins", "__main__") else f"{module}.{cls.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MOST_MESSAGE]
    except Exception:  # noqa: BLE001 - the user's __str__
        return "<no text: __str__ failed>"


def _frames(traceback: TracebackType | None) -> tuple[Frame, ...]:
    found: list[Frame] = []
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__")
        code = frame.f_code
        found.append(
            Frame(code.co_filename, traceback.tb_lineno, code.co_qualname, module if type(module) is str else "")
        )
        if len(found) > 2 * _MOST_FRAMES:
            del found[:-_MOST_FRAMES]
        traceback = traceback.tb_next
    return tuple(reversed(found[-_MOST_FRAMES:]))


def _chain(error: BaseException) -> tuple[str, ...]:
    found: list[str] = []
    seen = {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while cause is not None and id(cause) not in seen and len(found) < _MOST_CHAIN:
        seen.add(id(cause))
        found.append(f"{_name(type(cause))}: {_message(cause)}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return tuple(found)
