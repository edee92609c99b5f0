"""Reads foreign objects without running any code of theirs.

``isinstance``, ``len``, ``getattr`` and iteration run what a class defines (a proxy's ``__class__``, a lazy object's
``__getattr__``). So types are compared by ``type(value)``, and items and attributes are read with the methods of the
built-in base. Another thread may change a container while it is read; then what was read so far, or nothing, is given.
"""

from __future__ import annotations

import functools
import itertools
import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

from beamlens.probes.slices import Slices

SIZED: dict[type, Any] = {
    dict: dict.__len__,
    OrderedDict: OrderedDict.__len__,
    defaultdict: defaultdict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
    bytearray: bytearray.__len__,
}
"""The containers whose growth is watched, with the method that tells their size."""

LRU_CACHE: type = type(functools.lru_cache(lambda: None))
MOST_ITEMS = 300
_RELEASED = 1000
_HEAP_TYPE = 1 << 9
_MUTABLE = (dict, list, set, deque, bytearray)
_BASES = (dict, list, set, deque, bytearray, frozenset, tuple)
_type_dict = type.__dict__["__dict__"].__get__
_type_mro = type.__dict__["__mro__"].__get__
_type_name = type.__dict__["__qualname__"].__get__
_type_module = type.__dict__["__module__"].__get__
_type_flags = type.__dict__["__flags__"].__get__
_type_basic_size = type.__dict__["__basicsize__"].__get__


def release(values: list[Any], slices: Slices) -> None:
    """Empty a long list: in one piece that would take as long as a slice may, and each may be the last reference."""
    while values:
        del values[-_RELEASED:]
        slices.pause()


def exact(value: Any) -> type:
    """The type of a value, for a look-up in a table of built-in types; ``object`` when a metaclass may hash it."""
    kind = type(value)
    return kind if type(kind) is type else object


def is_class(value: Any) -> bool:
    """Whether it is a class."""
    return issubclass(type(value), type)


def is_made_in_python(kind: type) -> bool:
    """Whether the class was made by a ``class`` statement (a heap type), so that its methods may be anybody's."""
    return bool(_type_flags(kind) & _HEAP_TYPE)


def basic_size(kind: type) -> int:
    """Bytes of an instance, without what varies."""
    return int(_type_basic_size(kind))


def class_dict(cls: type) -> types.MappingProxyType[str, Any]:
    """A class's own attributes."""
    found: types.MappingProxyType[str, Any] = _type_dict(cls)
    return found


def name_of(cls: type) -> str:
    """Qualified name of a class."""
    return str(_type_name(cls))


def module_of(cls: type) -> str:
    """Name of a class's module, ``""`` when it has none."""
    try:
        name = _type_module(cls)
    except AttributeError:
        return ""
    return name if type(name) is str else ""


def attributes(value: Any) -> dict[str, Any] | None:
    """An instance's attribute dict, if it has one; ``None`` where a class computes its ``__dict__``."""
    for cls in _type_mro(type(value)):
        descriptor = _type_dict(cls).get("__dict__")
        if descriptor is not None:
            if type(descriptor) is not types.GetSetDescriptorType:
                return None
            try:
                found = descriptor.__get__(value)
            except (AttributeError, TypeError):
                return None
            return found if type(found) is dict else None
    return None


def slots(value: Any) -> Iterator[tuple[str, Any]]:
    """An instance's filled ``__slots__``."""
    for cls in _type_mro(type(value)):
        if not is_made_in_python(cls) or "__slots__" not in _type_dict(cls):
            continue
        for name, descriptor in list(_type_dict(cls).items()):
            if type(descriptor) is types.MemberDescriptorType:
                try:
                    yield name, descriptor.__get__(value)
                except AttributeError:  # not set
                    continue


def is_container(value: Any) -> bool:
    """Whether it may grow: a built-in container, or an instance of a subclass of one."""
    return exact(value) in SIZED or issubclass(type(value), _MUTABLE)


def size_of(value: Any) -> int | None:
    """Items of a built-in container or of an instance of a subclass of one; ``None`` for anything else."""
    known = SIZED.get(exact(value))
    if known is not None:
        return int(known(value))
    for base in _BASES:
        if issubclass(type(value), base):
            return int(base.__len__(value))
    return None


def newest(container: Any, most: int = MOST_ITEMS) -> list[Any]:
    """Some values of a container, the newest first where there is an order; a subclass's own methods are not used."""
    kind = type(container)
    try:
        if issubclass(kind, dict):
            return list(itertools.islice(reversed(dict.values(container)), most))
        if issubclass(kind, list):
            return list.__getitem__(container, slice(-1, -most - 1, -1))
        if issubclass(kind, deque):
            return list(itertools.islice(deque.__reversed__(container), most))
        for base in (set, frozenset, tuple):
            if issubclass(kind, base):
                return list(itertools.islice(base.__iter__(container), most))
    except RuntimeError:  # changed while we read
        pass
    return []


def oldest(container: Any, most: int) -> list[Any]:
    """Some values of a container from its other end; none of a set, which has no order."""
    kind = type(container)
    try:
        if issubclass(kind, dict):
            return list(itertools.islice(dict.values(container), most))
        if issubclass(kind, list):
            return list.__getitem__(container, slice(0, most))
        if issubclass(kind, deque):
            return list(itertools.islice(deque.__iter__(container), most))
    except RuntimeError:  # changed while we read
        pass
    return []


def newest_keys(container: Any, most: int) -> list[Any]:
    """The keys of the newest values of a dict."""
    if not issubclass(type(container), dict):
        return []
    try:
        return list(itertools.islice(dict.__reversed__(container), most))
    except RuntimeError:  # changed while we read
        return []


def shallow_size(value: Any) -> int:
    """Bytes of an object without what it refers to; of an instance with its attribute dict's share."""
    kind = type(value)
    if not is_made_in_python(kind):
        return sys.getsizeof(value)
    return basic_size(kind) + 16 + 8 * (size_of(value) or 0)
