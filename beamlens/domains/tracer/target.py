"""From two names to the code object that is traced, without importing or running anything of the host's."""

from __future__ import annotations

import difflib
import functools
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from beamlens.domains.arguments import error
from beamlens.probes.frames import is_own_module

_MOST_UNWRAPPED = 20
_WILD = frozenset({"", "_", ":_", "*"})
# Called thousands of times a second by nearly every program, or by what traces.
_HOT_MODULES = frozenset(
    {
        "_collections_abc", "_weakrefset", "abc", "asyncio.base_events", "asyncio.events", "asyncio.selector_events",
        "codecs", "collections", "contextlib", "copy", "enum", "functools", "genericpath", "heapq", "inspect",
        "linecache", "logging", "operator", "os", "posixpath", "queue", "random", "re", "selectors", "socket", "ssl",
        "threading", "tokenize", "types", "typing", "weakref",
    }
)  # fmt: skip
_MODULE_NAMES: Any = vars(types.ModuleType)["__dict__"]
_HOT_PACKAGES = ("importlib", "re")


@dataclass(frozen=True, slots=True)
class Target:
    """What is traced.

    Attributes:
        code: The code object.
        module: As asked for.
        function: As asked for.
        wrappers: How many decorators were looked through.
    """

    code: types.CodeType
    module: str
    function: str
    wrappers: int

    def describe(self) -> dict[str, Any]:
        """As JSON types."""
        kinds = (("coroutine", 0x80), ("async generator", 0x200), ("generator", 0x20))
        return {
            "module": self.module,
            "name": self.function,
            "traced": self.code.co_qualname,
            "at": f"{self.code.co_filename}:{self.code.co_firstlineno}",
            "kind": next((kind for kind, flag in kinds if self.code.co_flags & flag), "function"),
            "wrappers": self.wrappers,
        }


class _NotFoundError(Exception):
    """There is no such function; says what is near."""


def resolve(module: str, function: str) -> Target | dict[str, Any]:
    """Find a function of a loaded module by its qualified name, or answer why it cannot be traced."""
    module, function = module.strip(), function.strip()
    if module in _WILD or "*" in module:
        return error("wildcard_module_not_allowed", "name one module, such as shop.orders")
    if function in _WILD or "*" in function:
        return error("wildcard_function_not_allowed", "name one function, such as place_order or Basket.add")
    if is_own_module(module):
        return error("blocked_function", "Beamlens does not trace itself")
    if is_hot(module):
        return error("blocked_function", f"{module} is called too often by everything to be traced in a live program")
    loaded: Any = sys.modules.get(module)
    if not issubclass(type(loaded), types.ModuleType):
        return error("module_not_loaded", f"module={module!r} is not loaded{_near(module, list(sys.modules))}")
    try:
        found = _find(loaded, function)
    except _NotFoundError as missing:
        return error("function_not_found", str(missing))
    code, wrappers = _code_of(found, function)
    if code is None:
        text = f"{module}.{function} is {_kind(found)}, not a function written in Python"
        return error("not_traceable", text)
    if _is_hot_file(code):
        return error("blocked_function", f"{function} is {code.co_qualname} of Python's own hot modules")
    return Target(code, module, function, wrappers)


def is_hot(module: str) -> bool:
    """Whether a module's functions are never traced."""
    return module in _HOT_MODULES or module.partition(".")[0] in _HOT_PACKAGES


def _is_hot_file(code: types.CodeType) -> bool:
    """Whether a name of the host's leads to a blocked module: ``from queue import Queue``."""
    if code.co_filename.startswith("<frozen importlib"):
        return True
    for name in _HOT_MODULES:
        module = sys.modules.get(name)
        if module is not None and vars(module).get("__file__") == code.co_filename:
            return True
    return False


def _find(module: types.ModuleType, function: str) -> Any:
    """Walk a qualified name; class and module dictionaries only, so that no ``__getattr__`` runs."""
    held: Any = module
    parts = function.split(".")
    for index, part in enumerate(parts):
        if part == "<locals>":
            return _nested(held, function)
        names = _names(held)
        if names is None:
            inner = ".".join(parts[:index])
            raise _NotFoundError(f"{inner} is {_kind(held)}: it has no functions of its own")
        if part not in names:
            where = ".".join((module.__dict__.get("__name__", ""), *parts[:index]))
            raise _NotFoundError(f"{where} has no {part!r}{_near(part, _callables(names))}")
        held = names[part]
    return held


def _nested(outer: Any, function: str) -> Any:
    """A function that is made each time another one runs: its code is a constant of that one's."""
    code, _ = _code_of(outer, "")
    inner = [] if code is None else list(_inner(code))
    for one in inner:
        if one.co_qualname == function:
            return one
    raise _NotFoundError(f"no {function!r}{_near(function, [one.co_qualname for one in inner])}")


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inner(constant)


def _names(held: Any) -> dict[str, Any] | None:
    kind = type(held)
    if issubclass(kind, types.ModuleType):
        names = _MODULE_NAMES.__get__(held)
        return names if type(names) is dict else None
    if not issubclass(kind, type):
        return None
    found: dict[str, Any] = {}
    for cls in reversed(type.__dict__["__mro__"].__get__(held)):
        if cls is not object:
            found.update(type.__dict__["__dict__"].__get__(cls))
    return found


def _callables(names: dict[str, Any]) -> list[str]:
    return [
        name
        for name, value in list(names.items())
        if type(name) is str and (issubclass(type(value), type) or _step(value) is not None or _plain(value))
    ]


def _plain(value: Any) -> bool:
    return type(value) in (types.FunctionType, types.CodeType)


def _code_of(held: Any, function: str) -> tuple[types.CodeType | None, int]:
    """The code of a function beneath its decorators, and how many there were; reads no attribute of foreign types."""
    for steps in range(_MOST_UNWRAPPED):
        if type(held) is types.CodeType:
            return held, steps
        inner = _step(held)
        if inner is None and type(held) is types.FunctionType:
            # A decorator without functools.wraps: what it wraps is in a variable of its closure, by its own name.
            inner = _in_closure(held, function)
            if inner is None:
                return held.__code__, steps
        if inner is None:
            return None, 0
        held = inner
    return None, 0


def _step(held: Any) -> Any:
    """What a wrapper wraps; ``None`` for what is none."""
    kind = type(held)
    if kind in (staticmethod, classmethod, types.MethodType):
        return held.__func__
    if kind is property:
        return held.fget
    if kind is functools.partial:
        return held.func
    if kind in (functools.cached_property, functools.partialmethod, functools.singledispatchmethod):
        return vars(held).get("func")
    if kind is types.FunctionType or kind is functools._lru_cache_wrapper:  # noqa: SLF001 - its type has no other name
        return vars(held).get("__wrapped__")
    return None


def _in_closure(wrapper: types.FunctionType, function: str) -> types.FunctionType | None:
    if not function or wrapper.__code__.co_qualname == function:
        return None
    for cell in wrapper.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # empty
            continue
        if type(content) is types.FunctionType and content.__code__.co_qualname == function:
            return content
    return None


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, [one for one in names if type(one) is str][:5000], n=3, cutoff=0.5)
    return f"; near it: {', '.join(close)}" if close else ""


def _kind(held: Any) -> str:
    kind = type(held)
    if kind in (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType):
        return "written in C"
    if issubclass(kind, type):
        return "a class"
    return f"an object of type {type_name(held)}"


def type_name(value: Any) -> str:
    """A value's type as text; runs no code of the host's."""
    return str(type.__dict__["__name__"].__get__(type(value)))
