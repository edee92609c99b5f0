"""A walk from module globals, threads and running functions over what they reach, in slices."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import types
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from beamlens.probes import own_threads
from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file
from beamlens.probes.heap.holders import Holder, Node, Trail, holder_of, module_file
from beamlens.probes.heap.paths import PARTS, Path, path_of
from beamlens.probes.heap.reading import (
    LRU_CACHE,
    MOST_ITEMS,
    attributes,
    class_dict,
    exact,
    is_class,
    is_container,
    module_of,
    newest,
    release,
    shallow_size,
    size_of,
    slots,
)
from beamlens.probes.slices import Slices
from beamlens_actors.thread_frames import thread_frames

_MOST_OBJECTS = 200_000
_MOST_DEPTH = 10
_MOST_CACHED = 20_000
_SHARDS = 64  # a set of 200 000 ids grows and is freed in pieces that are too long

_LEAVES = frozenset((str, bytes, int, float, complex, bool, type(None), type(...), range, slice, types.CodeType))
_SKIPPED = (
    types.ModuleType,
    types.FrameType,
    types.TracebackType,
    types.BuiltinFunctionType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    type(sys.implementation),
)
_SUSPENDED: dict[type, str] = {
    types.CoroutineType: "cr_frame",
    types.GeneratorType: "gi_frame",
    types.AsyncGeneratorType: "ag_frame",
}
_KEYED = (dict, OrderedDict, defaultdict)
_PLAIN = (list, tuple, set, frozenset, deque)


@dataclass(slots=True)
class TypeCount:
    """Objects of one type.

    Attributes:
        kind: The type.
        objects: How many.
        bytes: What they take, without what they refer to.
    """

    kind: type
    objects: float = 0.0
    bytes: float = 0.0


class Walk:
    """One walk over what is reachable.

    It touches no attribute of foreign objects, runs no code of theirs, gives other threads a turn every two
    milliseconds, and is bounded in objects. It holds references to containers and caches until `release`: let go of
    it soon.

    Attributes:
        containers: What has a size.
        nodes: The node of each of the containers.
        caches: ``functools`` caches, each with its node.
        types: By id of the type, how many objects of it are likely to be reachable: of large containers only some
            items are visited, and these count for the others.
        complete: Whether the bound on objects was not met.
        visited: Objects that were visited.
    """

    def __init__(self, most: int = _MOST_OBJECTS, *, items: bool = True, running: bool = True) -> None:
        """Walk.

        Args:
            most: Objects to visit at most.
            items: Also visit what is in containers, the newest 300 items of each.
            running: Also start at the variables of running functions.
        """
        self.containers: list[Any] = []
        self.nodes = array("i")
        self.caches: list[tuple[Any, int]] = []
        self.types: dict[int, TypeCount] = {}
        self.complete = True
        self.visited = 0
        self._most = most
        self._items = items
        self._from_running = running
        # Nothing here allocates an object that the collector tracks for each object that is visited: a walk over a
        # large heap would otherwise bring about full collections, which are the stalls that slices are to avoid.
        self._trail = Trail()
        self._depths = array("b")
        self._weights = array("d")
        self._seen = tuple(set[int]() for _ in range(_SHARDS))
        self._queue: deque[Any] = deque()
        self._slices = Slices()
        self._run()

    def _run(self) -> None:
        for value, node in self._roots():
            if len(self._trail) >= self._most:
                self.complete = False
                break
            self._push(value, node, 0, 1.0)
        index = 0
        while self._queue:
            if len(self._trail) >= self._most:
                self.complete = False
                break
            value = self._queue.popleft()
            self._slices.pause()
            if is_container(value):
                self.containers.append(value)
                self.nodes.append(index)
            depth = self._depths[index]
            if depth < _MOST_DEPTH:
                self._expand(value, index, depth + 1, self._weights[index])
            index += 1  # the queue is in the order of the nodes
        self.visited = len(self._trail)
        while self._queue:  # the last reference to some of them may be here
            self._queue.popleft()
            self._slices.pause()
        for shard in self._seen:
            shard.clear()
            self._slices.pause()

    def release(self) -> None:
        """Let go of everything that was found, in slices; what is done with a walk calls it."""
        release(self.containers, self._slices)
        release(self.caches, self._slices)
        self._trail.release(self._slices)

    def _push(self, value: Any, node: Node, depth: int, weight: float) -> None:
        kind = type(value)
        if exact(value) in _LEAVES or issubclass(kind, _SKIPPED):
            return
        seen = self._seen[(id(value) >> 5) % _SHARDS]
        if id(value) in seen or _is_ours(kind, value):
            return
        seen.add(id(value))
        self._trail.add(node)
        self._depths.append(depth)
        self._weights.append(weight)
        self._count(value, kind, weight)
        self._queue.append(value)

    def _count(self, value: Any, kind: type, weight: float) -> None:
        count = self.types.get(id(kind))
        if count is None:
            count = self.types[id(kind)] = TypeCount(kind)
        count.objects += weight
        count.bytes += weight * shallow_size(value)

    def _roots(self) -> Iterator[tuple[Any, Node]]:
        modules = [
            (name, module, module_file(name))
            for name, module in list(sys.modules.items())
            if type(module) is types.ModuleType and not is_own_module(name)
        ]
        modules.sort(key=lambda item: rank(item[2]))
        for name, module, file in modules:
            self._slices.pause()
            for variable, value in list(module.__dict__.items()):
                if type(variable) is str and not variable.startswith("__"):
                    yield value, Node(-1, variable, "root", None, (name, file))
        if self._from_running:
            yield from self._running()

    def _running(self) -> Iterator[tuple[Any, Node]]:
        own = threading.get_ident()
        for ident, frame in list(thread_frames().items()):
            current: types.FrameType | None = frame if ident != own else None
            while current is not None:
                # Python's own frames too: asyncio keeps the task that it runs in a variable.
                yield from _locals_of(current, -1)
                current = current.f_back
            self._slices.pause()
        for thread in own_threads.host_threads():
            yield thread, Node(-1, thread.name, "other")

    def _expand(self, value: Any, index: int, depth: int, weight: float) -> None:
        kind = exact(value)
        if kind in _KEYED or kind in _PLAIN:
            self._expand_items(value, index, depth, weight)
        elif kind is types.FunctionType:
            self._expand_function(value, index, depth, weight)
        elif kind in _SUSPENDED:
            frame = getattr(value, _SUSPENDED[kind])
            for item, node in () if frame is None else _locals_of(frame, index):
                self._push(item, node, depth, weight)
        elif kind in PARTS:
            for name in PARTS[kind]:
                self._push(getattr(value, name), Node(index, name, "part"), depth, weight)
        elif kind is LRU_CACHE:
            self._expand_cache(value, index, depth, weight)
        elif is_class(value):
            self._expand_class(value, index, depth, weight)
        else:
            self._expand_object(value, index, depth, weight)

    def _expand_items(self, value: Any, index: int, depth: int, weight: float) -> None:
        if not self._items:
            return
        found = newest(value)
        each = weight * max(1.0, (size_of(value) or 0) / len(found)) if found else weight
        for item in found:
            self._push(item, Node(index, "[...]", "item", type(value)), depth, each)

    def _expand_function(self, function: types.FunctionType, index: int, depth: int, weight: float) -> None:
        code = function.__code__
        about = (function.__module__, code.co_filename, code.co_qualname)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
            try:
                content = cell.cell_contents
            except ValueError:  # empty
                continue
            self._push(content, Node(index, name, "closure", None, about), depth, weight)
        for item in function.__defaults__ or ():
            self._push(item, Node(index, "default", "closure", None, about), depth, weight)
        for name, item in list(_attributes_of(function).items()):
            self._push(item, Node(index, str(name), "attribute", None, about), depth, weight)

    def _expand_class(self, cls: type, index: int, depth: int, weight: float) -> None:
        if _is_foreign_module(module_of(cls)):
            return
        for name, item in list(class_dict(cls).items()):
            if type(name) is str and not name.startswith("__"):
                self._push(item, Node(index, name, "attribute", cls), depth, weight)

    def _expand_cache(self, cache: Any, index: int, depth: int, weight: float) -> None:
        """A ``functools`` cache; a large bounded one is left alone, for its content comes in one long call."""
        self.caches.append((cache, index))
        own = attributes(cache) or {}
        wrapped = own.get("__wrapped__")
        self._push(wrapped, Node(index, "__wrapped__", "attribute"), depth, weight)
        info = cache.cache_info()
        if info.maxsize is not None and info.currsize > _MOST_CACHED:
            return
        code = wrapped.__code__ if type(wrapped) is types.FunctionType else None
        for item in gc.get_referents(cache):
            if type(item) is dict and item is not own:
                self._push(item, Node(index, "cache", "cache", type(cache), code), depth, weight)

    def _expand_object(self, value: Any, index: int, depth: int, weight: float) -> None:
        kind = type(value)
        own = attributes(value)
        for name, item in list((own or {}).items()):
            if type(name) is str:
                self._push(item, Node(index, name, "attribute", kind), depth, weight)
        for name, item in slots(value):
            self._push(item, Node(index, name, "attribute", kind), depth, weight)
        if not gc.is_tracked(value):
            return
        if size_of(value) is not None:  # of a subclass: its own items
            self._expand_items(value, index, depth, weight)
            return
        for item in gc.get_referents(value)[:MOST_ITEMS]:
            if item is not own:
                self._push(item, Node(index, "", "other", kind), depth, weight)

    def holder(self, index: int) -> Holder | None:
        """Who holds the container of a node: the nearest variable or attribute of the user's, else of a library."""
        labels: list[str] = []
        fallback: Holder | None = None
        while index >= 0:
            node = self._trail[index]
            labels.append(node.label)
            found = holder_of(node, labels)
            if found is not None and not (found.kind == "local" and fallback is not None):
                if not found.file or (not is_standard_file(found.file) and not is_library_file(found.file)):
                    return found
                fallback = fallback or found
            index = node.parent
        return fallback

    def path(self, index: int) -> Path | None:
        """How to find the object of a node again later; ``None`` when it has no name that can be followed."""
        return path_of(self._trail, index)


def _locals_of(frame: types.FrameType, parent: int) -> Iterator[tuple[Any, Node]]:
    """The variables of a function that runs or is suspended; a module's are found with the module."""
    module = str(frame.f_globals.get("__name__", ""))
    code = frame.f_code
    if is_own_module(module) or code.co_name == "<module>":
        return
    about = (module, code.co_filename, code.co_qualname)
    for variable, value in list(frame.f_locals.items()):
        yield value, Node(parent, variable, "local", None, about)


def _attributes_of(function: types.FunctionType) -> dict[str, Any]:
    """A function's attributes. Most have none, and get an empty dict that stays when they are asked for it."""
    known = (function.__globals__, getattr(function, "__builtins__", None), function.__kwdefaults__)
    for held in gc.get_referents(function):
        if type(held) is dict and not any(held is one for one in known):
            return function.__dict__  # or this one is that of its annotations: that cannot be told without making one
    return {}


def _is_ours(kind: type, value: Any) -> bool:
    return is_own_module(module_of(value if issubclass(kind, type) else kind))


@functools.lru_cache(maxsize=1024)
def _is_foreign_module(module: str) -> bool:
    return module == "builtins" or is_standard_file(module_file(module))


def rank(file: str) -> int:
    """The user's files first, then libraries', then Python's."""
    if is_standard_file(file):
        return 2
    return 1 if is_library_file(file) else 0
