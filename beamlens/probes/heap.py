"""Walks what the user's code can reach and finds the containers that grow, with who holds them.

The walk starts at module globals, threads and the variables of running functions, so each container is found together
with the path that names it. It goes in slices, so that no other thread waits longer than a few milliseconds, touches
no attribute of foreign objects (only the interpreter's own traversal, ``gc.get_referents``), and is bounded in objects.
Between two readings it holds references to containers, for at most some seconds, never to what is in them.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import threading
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file
from beamlens.probes.slices import Slices
from beamlens_actors import AbortSignal, clock

_MOST_OBJECTS = 200_000
_MOST_DEPTH = 10
_SAMPLE = 300

HolderKind = Literal["global", "attribute", "closure", "local", "cache"]

_SIZED: dict[type, Any] = {
    dict: dict.__len__,
    OrderedDict: OrderedDict.__len__,
    defaultdict: defaultdict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
    bytearray: bytearray.__len__,
}
_LEAVES = (str, bytes, int, float, complex, bool, type(None), type(...), range, slice, types.CodeType)
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
        line: First line of the function, for ``cache``; 0 otherwise.
        path: How it is reached, to read.
    """

    kind: HolderKind
    name: str
    module: str
    file: str
    owner: str
    path: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Growing:
    """A container that grows.

    Attributes:
        holder: Who holds it.
        type_name: Its type.
        containers: How many containers of the holder grew; the numbers below are of all of them.
        first: Items at the first reading.
        last: Items at the last one.
        seconds: Between them.
        bytes_per_item: Estimated from its newest items.
        items: Some of its newest items, for a closer look; let go of it soon.
    """

    holder: Holder
    type_name: str
    containers: int
    first: int
    last: int
    seconds: float
    bytes_per_item: float
    items: tuple[Any, ...]

    @property
    def added(self) -> int:
        """Items added between the readings."""
        return self.last - self.first

    @property
    def bytes_per_second(self) -> float:
        """Estimated growth."""
        return self.added * self.bytes_per_item / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Node:
    parent: int
    label: str
    kind: Literal["root", "attribute", "item", "closure", "other", "local"]
    holder_type: type | None
    about: Any = None


class Walk:
    """One walk over what is reachable."""

    def __init__(self, most: int = _MOST_OBJECTS) -> None:
        self.containers: list[tuple[Any, int]] = []
        self.complete = True
        self._most = most
        self._nodes: list[_Node] = []
        self._seen: set[int] = set()
        self._queue: deque[tuple[Any, int, int]] = deque()
        self._slices = Slices()
        self._run()

    def _run(self) -> None:
        for value, node in self._roots():
            self._push(value, node, 0)
        while self._queue:
            if len(self._seen) >= self._most:
                self.complete = False
                break
            value, index, depth = self._queue.popleft()
            self._slices.pause()
            if type(value) in _SIZED:
                self.containers.append((value, index))
            if depth < _MOST_DEPTH:
                self._expand(value, index, depth + 1)
        self._queue.clear()
        self._seen.clear()

    def _push(self, value: Any, node: _Node, depth: int) -> None:
        kind = type(value)
        if kind in _LEAVES or (isinstance(kind, type) and issubclass(kind, _SKIPPED)):
            return
        if id(value) in self._seen or _is_ours(kind, value):
            return
        self._seen.add(id(value))
        self._nodes.append(node)
        self._queue.append((value, len(self._nodes) - 1, depth))

    def _roots(self) -> Iterator[tuple[Any, _Node]]:
        modules = [
            (name, module)
            for name, module in list(sys.modules.items())
            if type(module) is types.ModuleType and not is_own_module(name)
        ]
        modules.sort(key=lambda item: _rank(getattr(item[1], "__file__", None)))
        for name, module in modules:
            for variable, value in list(module.__dict__.items()):
                if not variable.startswith("__") and type(variable) is str:
                    yield value, _Node(-1, variable, "root", None, (name, getattr(module, "__file__", None)))
        yield from self._running()

    def _running(self) -> Iterator[tuple[Any, _Node]]:
        own = threading.get_ident()
        for ident, frame in list(sys._current_frames().items()):  # noqa: SLF001 - the only way to it
            current: types.FrameType | None = frame if ident != own else None
            while current is not None:
                # Python's own frames too: asyncio keeps the task that it runs in a variable.
                yield from _locals_of(current, -1)
                current = current.f_back
            self._slices.pause()
        for thread in threading.enumerate():
            if not thread.name.startswith("beamlens"):
                yield thread, _Node(-1, thread.name, "other", None)

    def _expand(self, value: Any, index: int, depth: int) -> None:
        kind = type(value)
        if kind in (dict, OrderedDict, defaultdict):
            self._expand_dict(value, index, depth)
        elif kind in (list, tuple, set, frozenset, deque):
            for item in _newest(value):
                self._push(item, _Node(index, "[...]", "item", kind), depth)
        elif kind is types.FunctionType:
            self._expand_function(value, index, depth)
        elif kind in _SUSPENDED:
            frame = getattr(value, _SUSPENDED[kind])
            for item, node in () if frame is None else _locals_of(frame, index):
                self._push(item, node, depth)
        elif _is(value, type):
            self._expand_class(value, index, depth)
        else:
            self._expand_object(value, index, depth)

    def _expand_dict(self, value: dict[Any, Any], index: int, depth: int) -> None:
        for item in _newest(value):
            self._push(item, _Node(index, "[...]", "item", dict), depth)

    def _expand_function(self, function: types.FunctionType, index: int, depth: int) -> None:
        code = function.__code__
        about = (function.__module__, code.co_filename, code.co_qualname)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
            try:
                content = cell.cell_contents
            except ValueError:  # empty
                continue
            self._push(content, _Node(index, name, "closure", None, about), depth)
        for item in function.__defaults__ or ():
            self._push(item, _Node(index, "default", "closure", None, about), depth)
        for name, item in list(function.__dict__.items()):
            self._push(item, _Node(index, name, "attribute", None, about), depth)

    def _expand_class(self, cls: type, index: int, depth: int) -> None:
        module = cls.__dict__.get("__module__", "")
        if type(module) is not str or _is_foreign_module(module):
            return
        for name, item in list(type.__dict__["__dict__"].__get__(cls).items()):
            if not name.startswith("__"):
                self._push(item, _Node(index, name, "attribute", cls), depth)

    def _expand_object(self, value: Any, index: int, depth: int) -> None:  # noqa: C901 - one case after the other
        kind = type(value)
        fields: dict[int, str] = {}
        attributes = _attributes(value)
        if attributes is not None:
            for name, item in list(attributes.items()):
                if type(name) is str:
                    self._push(item, _Node(index, name, "attribute", kind), depth)
            fields[id(attributes)] = ""
        for name, item in _slots(value):
            self._push(item, _Node(index, name, "attribute", kind), depth)
        if not gc.is_tracked(value):
            return
        if _is(value, (dict, list, set, deque)):
            # A subclass: its own items, read with the base's methods, which are not the user's.
            for item in _newest(value):
                self._push(item, _Node(index, "[...]", "item", kind), depth)
            return
        if kind.__module__ == "functools" and kind.__name__ == "_lru_cache_wrapper":
            wrapped = (attributes or {}).get("__wrapped__")
            code = getattr(wrapped, "__code__", None) if type(wrapped) is types.FunctionType else None
            for item in gc.get_referents(value):
                if type(item) is dict and item is not attributes:
                    self._push(item, _Node(index, "cache", "other", kind, code), depth)
            return
        for item in gc.get_referents(value)[:_SAMPLE]:
            if id(item) not in fields:
                self._push(item, _Node(index, "", "other", kind), depth)

    def holder(self, index: int) -> Holder | None:
        """Who holds the container of a node: the nearest variable or attribute of the user's, else of a library."""
        labels: list[str] = []
        fallback: Holder | None = None
        while index >= 0:
            node = self._nodes[index]
            labels.append(node.label)
            found = _holder_of(node, labels)
            if found is not None and not (found.kind == "local" and fallback is not None):
                if not found.file or (not is_standard_file(found.file) and not is_library_file(found.file)):
                    return found
                fallback = fallback or found
            index = node.parent
        return fallback


_SUSPENDED: dict[type, str] = {
    types.CoroutineType: "cr_frame",
    types.GeneratorType: "gi_frame",
    types.AsyncGeneratorType: "ag_frame",
}


def _locals_of(frame: types.FrameType, parent: int) -> Iterator[tuple[Any, _Node]]:
    """The variables of a function that runs or is suspended; a module's are found with the module."""
    module = str(frame.f_globals.get("__name__", ""))
    code = frame.f_code
    if is_own_module(module) or code.co_name == "<module>":
        return
    about = (module, code.co_filename, code.co_qualname)
    for variable, value in list(frame.f_locals.items()):
        yield value, _Node(parent, variable, "local", None, about)


def _holder_of(node: _Node, labels: list[str]) -> Holder | None:
    path = ".".join(label for label in reversed(labels) if label)
    if node.kind == "root":
        module, file = node.about
        return Holder("global", node.label, module, file or "", "", f"{module}.{path}")
    if node.kind in ("closure", "local") and node.label != "default":
        module, file, function = node.about
        kind: HolderKind = "closure" if node.kind == "closure" else "local"
        return Holder(kind, node.label, module, file, function, f"{module}.{function}: {path}")
    if node.kind == "other" and node.label == "cache" and isinstance(node.about, types.CodeType):
        code = node.about
        return Holder(
            "cache", code.co_name, "", code.co_filename, code.co_qualname, f"cache of {code.co_qualname}",
            code.co_firstlineno,
        )  # fmt: skip
    if node.kind == "attribute" and node.holder_type is not None:
        cls = node.holder_type
        module = cls.__module__ if type(cls.__module__) is str else ""
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        return Holder("attribute", node.label, module, file, cls.__qualname__, f"{cls.__qualname__}.{path}")
    return None


def find_growing(seconds: float = 2.0, abort: AbortSignal | None = None) -> tuple[list[Growing], bool]:
    """Find containers that grow steadily now.

    Args:
        seconds: Time between the first and the last reading; there is one in the middle.
        abort: Ends it early.

    Returns:
        The growing ones, most bytes a second first, and whether the walk saw everything within its bounds.
    """
    abort = abort or AbortSignal()
    walk = Walk()
    slices = Slices()
    began = clock.monotonic()
    first = [_SIZED[type(container)](container) for container, _ in walk.containers]
    abort.wait(seconds / 2)
    middle = [_SIZED[type(container)](container) for container, _ in walk.containers]
    abort.wait(seconds / 2)
    took = clock.monotonic() - began
    groups: dict[Holder, _Group] = {}
    for (container, index), before, between in zip(walk.containers, first, middle, strict=True):
        slices.pause()
        after = _SIZED[type(container)](container)
        if after > before and (holder := walk.holder(index)) is not None:
            group = groups.setdefault(dataclasses.replace(holder, path=""), _Group(holder))
            group.add(container, before, between, after)
    found = [group.describe(took) for group in groups.values() if group.steady]
    found.sort(key=lambda growing: -growing.bytes_per_second)
    return found[:20], walk.complete


class _Group:
    """The containers of one holder that grew: one, or many as in a dict of lists."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._grown: list[tuple[int, Any]] = []
        self._counts = [0, 0, 0]

    def add(self, container: Any, before: int, between: int, after: int) -> None:
        self._grown.append((after - before, container))
        for position, count in enumerate((before, between, after)):
            self._counts[position] += count

    @property
    def steady(self) -> bool:
        """Whether both halves of the time saw growth."""
        before, between, after = self._counts
        return before < between < after

    def describe(self, seconds: float) -> Growing:
        self._grown.sort(key=lambda pair: -pair[0])
        samples = [_sample(container, grown) for grown, container in self._grown[:10]]
        items = [item for values, _ in samples for item in values]
        seen: set[int] = set()
        size = sum(_deep_size(item, seen) for values, keys in samples for item in (*values, *keys))
        container = self._grown[0][1]
        slot = 1.0 if type(container) is bytearray else 100.0 if _is(container, (dict, set)) else 8.0
        return Growing(
            holder=self._holder,
            type_name=type(container).__name__,
            containers=len(self._grown),
            first=self._counts[0],
            last=self._counts[2],
            seconds=seconds,
            bytes_per_item=size / max(1, len(items)) + slot,
            items=tuple(items),
        )


def _sample(container: Any, grown: int) -> tuple[list[Any], list[Any]]:
    """Some of the newest values of a container, and their keys."""
    if type(container) is bytearray:
        return [], []
    values = list(itertools.islice(_newest(container), max(1, min(20, grown))))
    if not _is(container, dict):
        return values, []
    try:
        return values, list(itertools.islice(reversed(container), len(values)))
    except RuntimeError:  # changed while we read
        return values, []


def some_items(container: Any) -> Iterator[Any]:
    """Up to 300 items of a container of the walk, the newest first where there is an order; for dicts the values."""
    return _newest(container)


def _newest(container: Any) -> Iterator[Any]:
    """Some items, the newest first where there is an order."""
    try:
        if _is(container, dict):
            return iter(list(itertools.islice(reversed(dict.values(container)), _SAMPLE)))
        if _is(container, list):
            return iter(list.__getitem__(container, slice(-1, -_SAMPLE - 1, -1)))
        if _is(container, deque):
            return iter(list(itertools.islice(reversed(container), _SAMPLE)))
        return iter(list(itertools.islice(iter(container), _SAMPLE)))
    except (RuntimeError, TypeError, ValueError):  # changed while we read
        return iter(())


def _deep_size(value: Any, seen: set[int], depth: int = 0) -> float:
    """Bytes of a value and of what only it is likely to hold; estimated, bounded."""
    kind = type(value)
    if id(value) in seen or _is(value, (type, *_SKIPPED, types.FunctionType, types.MethodType)) or len(seen) > 5000:
        return 0.0
    seen.add(id(value))
    size = (
        float(sys.getsizeof(value))
        if kind in _SIZED or not kind.__flags__ & _HEAP_TYPE
        else float(object.__sizeof__(value))
    )
    if depth >= 4:
        return size
    inner: list[Any] = []
    count = 0
    if _is(value, dict):
        inner, count = list(_newest(value)), dict.__len__(value)
        inner = inner[:50]
    elif _is(value, (list, tuple, set, frozenset, deque)):
        inner = list(itertools.islice(_newest(value), 50))
        count = len(inner) if kind not in _SIZED else _SIZED[kind](value)
    elif not kind.__flags__ & _HEAP_TYPE and gc.is_tracked(value):
        inner = gc.get_referents(value)[:20]  # an extension's object, such as the link of a functools cache
        count = len(inner)
    attributes = _attributes(value)
    if inner:
        held = sum(_deep_size(item, seen, depth + 1) for item in inner)
        size += held * max(1.0, count / len(inner))
    if attributes:
        size += sys.getsizeof(attributes)
        size += sum(_deep_size(item, seen, depth + 1) for item in list(attributes.values())[:50])
    return size


_HEAP_TYPE = 1 << 9


def _attributes(value: Any) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return None
    return found if type(found) is dict else None


def _slots(value: Any) -> Iterator[tuple[str, Any]]:
    for cls in type.mro(type(value))[:-1] if type(type(value)) is type else ():
        for name in (
            cls.__dict__.get("__slots__", ()) if isinstance(cls.__dict__.get("__slots__", ()), tuple | list) else ()
        ):
            descriptor = cls.__dict__.get(name)
            if isinstance(descriptor, types.MemberDescriptorType):
                try:
                    yield name, descriptor.__get__(value)
                except AttributeError:  # not set
                    continue


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """``isinstance`` that runs no code of the host's: that asks an object that is none for its ``__class__``."""
    return issubclass(type(value), kinds)


def _is_ours(kind: type, value: Any) -> bool:
    names = type.__dict__["__dict__"].__get__(value) if _is(value, type) else None
    module = kind.__module__ if names is None else names.get("__module__", "")
    return type(module) is str and is_own_module(module)


def _is_foreign_module(module: str) -> bool:
    return module == "builtins" or is_standard_file(getattr(sys.modules.get(module), "__file__", None) or "")


def _rank(file: object) -> int:
    if type(file) is not str or is_standard_file(file):
        return 2
    return 1 if is_library_file(file) else 0


class KindWalk(Walk):
    """A walk that gathers objects of a kind, with who holds them; by default bounded as every walk."""

    def __init__(self, wanted: Callable[[Any], bool], most: int = _MOST_OBJECTS) -> None:
        """Walk.

        Args:
            wanted: Whether an object is one; must run none of its code.
            most: Objects that are looked at.
        """
        self._wanted = wanted
        self._found: list[tuple[Any, int]] = []
        super().__init__(most)

    def _expand(self, value: Any, index: int, depth: int) -> None:
        if self._wanted(value):
            self._found.append((value, index))
        super()._expand(value, index, depth)

    def named(self) -> Iterator[tuple[Any, str]]:
        """What was found and is held by a variable or attribute that has a name, and how it is reached."""
        for value, index in self._found:
            holder = self.holder(index)
            if holder is not None:
                yield value, holder.path
