"""Who holds an object: how it was reached, told as a person would."""

from __future__ import annotations

import sys
import types
from array import array
from dataclasses import dataclass
from typing import Any, Literal

from beamlens.probes.heap.reading import module_of, name_of, release
from beamlens.probes.slices import Slices

HolderKind = Literal["global", "attribute", "closure", "local", "cache"]
NodeKind = Literal["root", "attribute", "item", "closure", "part", "cache", "other", "local"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a container.

    Attributes:
        kind: ``global`` variable, ``attribute`` of a class's instances or of the class, variable of a ``closure`` or
            ``local`` one of a running function, or a function's ``cache`` (``functools``).
        name: The variable's or attribute's name; for a cache the function's.
        module: Module of the holder.
        file: Its source file, ``""`` where there is none.
        owner: Qualified name of the class or function, ``""`` for a global.
        path: How it is reached, to read.
        line: First line of the function, for ``cache``; 0 otherwise.
    """

    kind: HolderKind
    name: str
    module: str
    file: str
    owner: str
    path: str
    line: int = 0


@dataclass(slots=True)
class Node:
    """One step of a walk: from which node, by which name.

    Attributes:
        parent: Index of the node before it, -1 at a root.
        label: Name of the variable, attribute or part.
        kind: What the label is.
        holder_type: For an attribute the class of its instance, or the class itself.
        about: Root: (module, file). Closure and local: (module, file, function). Cache: the function's code.
    """

    parent: int
    label: str
    kind: NodeKind
    holder_type: type | None = None
    about: Any = None


class Trail:
    """The nodes of a walk, in columns: an object for each would make the collector read the whole heap."""

    def __init__(self) -> None:
        self._parents = array("i")
        self._labels: list[str] = []
        self._kinds: list[NodeKind] = []
        self._types: list[type | None] = []
        self._abouts: list[Any] = []

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, node: Node) -> int:
        """Keep a node's fields; returns its index."""
        self._parents.append(node.parent)
        self._labels.append(node.label)
        self._kinds.append(node.kind)
        self._types.append(node.holder_type)
        self._abouts.append(node.about)
        return len(self._parents) - 1

    def release(self, slices: Slices) -> None:
        """Let go of everything, in slices."""
        for column in (self._labels, self._kinds, self._types, self._abouts):
            release(column, slices)

    def __getitem__(self, index: int) -> Node:
        return Node(
            self._parents[index], self._labels[index], self._kinds[index], self._types[index], self._abouts[index]
        )


def holder_of(node: Node, labels: list[str]) -> Holder | None:
    """The holder that a node stands for, if it is one.

    Args:
        node: The node.
        labels: Labels from the container up to this node.
    """
    path = ".".join(label for label in reversed(labels) if label)
    if node.kind == "root":
        module, file = node.about
        return Holder("global", node.label, module, file or "", "", f"{module}.{path}")
    if node.kind in ("closure", "local") and node.label != "default":
        module, file, function = node.about
        kind: HolderKind = "closure" if node.kind == "closure" else "local"
        return Holder(kind, node.label, module, file, function, f"{module}.{function}: {path}")
    if node.kind == "cache" and type(node.about) is types.CodeType:
        code = node.about
        name, line = code.co_qualname, code.co_firstlineno
        return Holder("cache", code.co_name, "", code.co_filename, name, f"cache of {name}", line)
    if node.kind == "attribute" and node.holder_type is not None:
        cls = node.holder_type
        module = module_of(cls)
        name = name_of(cls)
        return Holder("attribute", node.label, module, module_file(module), name, f"{name}.{path}")
    return None


def module_file(name: str) -> str:
    """Source file of a loaded module, ``""`` where there is none. A module's own ``__getattr__`` is not asked."""
    module = sys.modules.get(name)
    file = module.__dict__.get("__file__") if type(module) is types.ModuleType else None
    return file if type(file) is str else ""
