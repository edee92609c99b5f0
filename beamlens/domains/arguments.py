"""Callbacks answer bad arguments instead of raising: they are called by a model, from Lua and from Python alike."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

_log = logging.getLogger("beamlens.domains")
_lax = ConfigDict(coerce_numbers_to_str=True, arbitrary_types_allowed=True)


def error(code: str, message: str) -> dict[str, Any]:
    """The one shape of a refusal: ``{"error": code, "message": text}``."""
    return {"error": code, "message": message}


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a callback so that it never raises.

    Arguments are converted to their annotated types (Lua has only one kind of number, and a model writes ``"5"`` for
    ``5``); what cannot be converted, missing or surplus arguments, and a failure inside become ``error()`` results.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as mismatch:
            return error("bad_arguments", f"{function.__name__}{_shape(signature)}: {mismatch}")
        for name, value in bound.arguments.items():
            if value is None and signature.parameters[name].default is not inspect.Parameter.empty:
                bound.arguments[name] = signature.parameters[name].default
                continue
            try:
                bound.arguments[name] = _adapter(hints.get(name, Any)).validate_python(value)
            except ValidationError as invalid:
                reason = invalid.errors()[0]["msg"]
                return error("bad_argument", f"{name}={value!r}: {reason}; expected {_expected(hints.get(name))}")
        try:
            return function(*bound.args, **bound.kwargs)
        except Exception as failure:  # noqa: BLE001
            # A callback is asked by a model in the middle of an incident: its own trouble is an answer, not a crash.
            _log.debug("callback %s failed", function.__name__, exc_info=True)
            return error("failed", f"{function.__name__}: {type(failure).__name__}")

    return call


# One for all callbacks that take the type, made when one is first called: hundreds of them would cost megabytes.
@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=_lax)


def _shape(signature: inspect.Signature) -> str:
    return "(" + ", ".join(str(parameter) for parameter in signature.parameters.values()) + ")"


def _expected(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))


def clamp(limit: int, *, most: int = 50) -> int:
    """A limit between 1 and ``most``, the cap of every top-N callback."""
    return max(1, min(limit, most))
