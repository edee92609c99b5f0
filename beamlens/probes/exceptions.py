"""An exception as text: type, message, frames, what caused it. Never the exception itself."""

from __future__ import annotations

from types import CodeType, TracebackType
from typing import NamedTuple, cast
from weakref import ref

from beamlens.evidence import Place
from beamlens.probes.frames import Frame, at_instruction, user_place
from beamlens_actors.words import text_of

_MOST_FRAMES = 64
_MOST_MESSAGE = 500
_MOST_CHAIN = 5
_NO_TEXT = "<no text: __str__ failed>"

_MOST_CLASSES = 1000

# By id, with the class, weakly, since an id is used again: a WeakKeyDictionary takes four times as long.
_classes: dict[int, tuple[ref[type], str, tuple[str, ...]]] = {}


class ExceptionText(NamedTuple):
    """What is kept of an exception.

    Attributes:
        type: Qualified name with its module, ``builtins`` left out.
        bases: Names of the types that it derives from, most special first, for classification.
        message: At most 500 characters.
        trace: Code and offset in it of each frame in turns, outermost first; the innermost 64. A code object is program
            text: it holds no values of the host. What it says is looked up when `frames` is asked for, since that costs
            five times as much as to take it, on the host's thread.
        chain: ``type: message`` of its causes and contexts, nearest first, at most 5.
    """

    type: str
    bases: tuple[str, ...]
    message: str
    trace: tuple[CodeType | int, ...]
    chain: tuple[str, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames as text, innermost first."""
        offsets = reversed(cast("tuple[int, ...]", self.trace[1::2]))
        codes = reversed(cast("tuple[CodeType, ...]", self.trace[::2]))
        return tuple(at_instruction(code, offset) for code, offset in zip(codes, offsets, strict=True))

    @property
    def place(self) -> Place | None:
        """The innermost line of the user's code."""
        return user_place(self.frames)


def describe(error: BaseException, traceback: TracebackType | None = None) -> ExceptionText:
    """Take the text out of an exception; about 0.5 us, and 0.1 for each frame. Runs its ``__str__``, guarded."""
    cls = type(error)
    known = _classes.get(id(cls))
    if known is None or known[0]() is not cls:
        known = _learn(cls)
    try:
        message = str(error)[:_MOST_MESSAGE]
    except Exception:  # noqa: BLE001 - the user's __str__
        message = _NO_TEXT
    trace: list[CodeType | int] = []
    add = trace.append
    at = error.__traceback__ if traceback is None else traceback
    while at is not None:
        add(at.tb_frame.f_code)
        add(at.tb_lasti)
        at = at.tb_next
    chain = () if error.__context__ is None and error.__cause__ is None else _chain(error)
    # What ExceptionText() does, in half the time.
    return tuple.__new__(ExceptionText, (known[1], known[2], message, tuple(trace[-2 * _MOST_FRAMES :]), chain))


def _learn(cls: type) -> tuple[ref[type], str, tuple[str, ...]]:
    if len(_classes) >= _MOST_CLASSES:  # a host that makes classes without end
        _classes.clear()
    known = _classes[id(cls)] = ref(cls), _name(cls), tuple(_name(base) for base in cls.__mro__[:-1])
    return known


def _name(cls: type) -> str:
    module = cls.__module__
    return cls.__qualname__ if module in ("builtins", "__main__") else f"{module}.{cls.__qualname__}"


def _message(error: BaseException) -> str:
    return text_of(error)[:_MOST_MESSAGE]


def _chain(error: BaseException) -> tuple[str, ...]:
    found: list[str] = []
    seen = {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while cause is not None and id(cause) not in seen and len(found) < _MOST_CHAIN:
        seen.add(id(cause))
        found.append(f"{_name(type(cause))}: {_message(cause)}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return tuple(found)
