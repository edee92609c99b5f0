"""A path to an object by names: keeps nothing alive, and finds the object again as long as it is where it was."""

from __future__ import annotations

import functools
import gc
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beamlens.probes.heap.holders import NodeKind, Trail
from beamlens.probes.heap.reading import LRU_CACHE, attributes, class_dict, exact, is_class, slots

PARTS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset"),
    functools.partial: ("func", "args"),
    types.MethodType: ("__func__", "__self__"),
}
"""Python's own wrappers, with what of them is worth following."""

_FOLLOWED = ("root", "attribute", "closure", "part", "cache")


class Gone(LookupError):  # noqa: N818 - as the other errors are named
    """What a path leads to is no longer there."""


@dataclass(frozen=True, slots=True)
class Path:
    """Names from a module to an object.

    Attributes:
        module: Name of the module.
        steps: What each name is, and the name.
    """

    module: str
    steps: tuple[tuple[NodeKind, str], ...]

    def __str__(self) -> str:
        """The names, joined by dots."""
        return ".".join((self.module, *(label for _, label in self.steps)))

    def resolve(self) -> Any:
        """The object; about a microsecond a step.

        Raises:
            Gone: It is not there any more.
        """
        return self.resolve_with_parent()[0]

    def resolve_with_parent(self) -> tuple[Any, Any]:
        """The object and the one before it; raises `Gone`."""
        value: Any = sys.modules.get(self.module)
        if type(value) is not types.ModuleType:
            raise Gone(self.module)
        parent: Any = None
        for kind, label in self.steps:
            parent, value = value, _STEPS[kind](value, label)
        return value, parent


def path_of(nodes: Trail, index: int) -> Path | None:
    """The path of a walk's node, if each of its steps can be followed again."""
    steps: list[tuple[NodeKind, str]] = []
    while index >= 0:
        node = nodes[index]
        if node.kind not in _FOLLOWED or node.label == "default":
            return None
        steps.append((node.kind, node.label))
        if node.kind == "root":
            return Path(node.about[0], tuple(reversed(steps)))
        index = node.parent
    return None


def _attribute(value: Any, label: str) -> Any:
    if is_class(value):
        found = class_dict(value).get(label, Gone)
    else:
        own = attributes(value)
        found = Gone if own is None else own.get(label, Gone)
        if found is Gone:
            found = next((item for name, item in slots(value) if name == label), Gone)
    if found is Gone:
        raise Gone(label)
    return found


def _closure(value: Any, label: str) -> Any:
    if type(value) is types.FunctionType and label in value.__code__.co_freevars:
        try:
            return (value.__closure__ or ())[value.__code__.co_freevars.index(label)].cell_contents
        except (ValueError, IndexError):  # empty
            pass
    raise Gone(label)


def _part(value: Any, label: str) -> Any:
    if label not in PARTS.get(exact(value), ()):
        raise Gone(label)
    return getattr(value, label)


def _cache(value: Any, label: str) -> Any:
    """The dict of a ``functools`` cache."""
    if type(value) is LRU_CACHE:
        own = attributes(value)
        for item in gc.get_referents(value):
            if type(item) is dict and item is not own:
                return item
    raise Gone(label)


def _root(value: Any, label: str) -> Any:
    found = value.__dict__.get(label, Gone)
    if found is Gone:
        raise Gone(label)
    return found


_STEPS: dict[NodeKind, Callable[[Any, str], Any]] = {
    "root": _root,
    "attribute": _attribute,
    "closure": _closure,
    "part": _part,
    "cache": _cache,
}
