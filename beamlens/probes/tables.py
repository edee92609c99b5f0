"""In-memory tables that the user registers by name. Registering keeps nothing alive."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beamlens.errors import ConfigError
from beamlens.probes.frames import is_own_module
from beamlens.probes.heap.paths import Gone, Path
from beamlens.probes.heap.reading import (
    LRU_CACHE,
    attributes,
    class_dict,
    exact,
    is_class,
    module_of,
    name_of,
    size_of,
    slots,
)

_MOST = 500


class TableNameTaken(ConfigError):  # noqa: N818 - as the other errors are named
    """Another live table has that name.

    Attributes:
        holder: What has it, as text.
    """

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"the table name {name!r} is taken by {holder}; unregister_table({name!r}) frees it")
        self.holder = holder


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered table.

    Attributes:
        name: Its name.
        type_name: Type of the object.
        held_by: How it is found: ``weak reference``, or the variable or attribute that holds it.
        file: Source file of the caller.
        line: The line that registered it.
    """

    name: str
    type_name: str
    held_by: str
    file: str
    line: int
    find: Callable[[], Any]


_tables: dict[str, Registered] = {}


def register_table(name: str, obj: Any, *, owner: Any = None) -> None:
    """Have the ``ets`` domain watch an in-memory table under a name. The table is not kept alive.

    Args:
        name: What it is called from now on.
        obj: A dict, list, set, deque or an instance of a subclass of one, a ``functools`` or cachetools cache, or an
            object that keeps its entries in such a container, in an attribute.
        owner: Who holds `obj` in an attribute. Needed for a dict, list, defaultdict or bytearray only, which cannot be
            referenced weakly, and only where no module variable and no class attribute holds it: it is then looked
            up in its owner each time, and a new one under the same attribute takes its place.

    Raises:
        TableNameTaken: Another live table has that name. Registering the same object again changes nothing.
        ConfigError: The name is no text, `obj` has no entries to count, or nobody is known who holds it.
    """
    if type(name) is not str or not name.strip():
        raise ConfigError(f"name: {name!r} is not a name; give a text such as 'sessions'", field="name")
    if not _has_entries(obj):
        text = (
            f"{type(obj).__name__} has no entries that can be counted: register a dict, list, set, deque, "
            "a functools or cachetools cache, or an object with an attribute that is one"
        )
        raise ConfigError(text, field="obj")
    find, held_by = _finder(obj, owner)
    frame = sys._getframe(1)  # noqa: SLF001 - who registers it
    table = Registered(name, name_of(type(obj)), held_by, frame.f_code.co_filename, frame.f_lineno, find)
    _forget_dead()
    # No lock: this runs on the host's threads. Single dict operations are atomic.
    before = _tables.setdefault(name, table)
    if before is not table and before.find() is not obj:
        raise TableNameTaken(name, f"a {before.type_name} registered at {before.file}:{before.line}")
    if len(_tables) > _MOST:
        _tables.pop(name, None)
        raise ConfigError(f"{_MOST} tables are registered already; unregister_table() frees a place", field="name")


def unregister_table(name: str) -> bool:
    """Forget a table; whether one of that name was registered."""
    return _tables.pop(name, None) is not None


def registered() -> list[tuple[Registered, Any]]:
    """The registered tables that are alive, each with its object: let go of it soon."""
    found = []
    for table in list(_tables.values()):
        value = table.find()
        if value is not None:
            found.append((table, value))
    return found


def _forget_dead() -> None:
    for name, table in list(_tables.items()):
        if table.find() is None:
            _tables.pop(name, None)


def _has_entries(obj: Any) -> bool:
    if size_of(obj) is not None or exact(obj) is LRU_CACHE:
        return True
    if is_class(obj) or exact(obj) in (types.ModuleType, types.FunctionType):
        return False
    return bool(containers_in(obj))


def containers_in(obj: Any) -> list[Any]:
    """The containers in the attributes of an object, the largest first."""
    values = [*(attributes(obj) or {}).values(), *(item for _, item in slots(obj))]
    sized = [(size, value) for value in values if type(value) is not tuple and (size := size_of(value)) is not None]
    return [value for _, value in sorted(sized, key=lambda pair: -pair[0])]


def _finder(obj: Any, owner: Any) -> tuple[Callable[[], Any], str]:
    try:
        return weakref.ref(obj), "weak reference"
    except TypeError:
        pass
    path = _path_from_owner(obj, owner) if owner is not None else _path_from_modules(obj)
    if path is None:
        kind = type(obj).__name__
        where = "module variable or class attribute" if owner is None else f"attribute of the {type(owner).__name__}"
        raise ConfigError(
            f"a {kind} cannot be referenced weakly, and no {where} holds it, so Beamlens would keep it alive: "
            f"name the object that holds it, register_table(name, obj, owner=...)",
            field="owner",
        )
    return path


def _path_from_owner(obj: Any, owner: Any) -> tuple[Callable[[], Any], str] | None:
    held = list((attributes(owner) or {}).items()) if not is_class(owner) else list(class_dict(owner).items())
    label = next((name for name, value in [*held, *slots(owner)] if value is obj), None)
    if label is None:
        return None
    try:
        holder = weakref.ref(owner)
    except TypeError:
        kind = type(owner).__name__
        raise ConfigError(
            f"owner: a {kind} cannot be referenced weakly either; an instance of a class without __slots__, or with "
            "'__weakref__' in them, can",
            field="owner",
        ) from None

    def find() -> Any:
        living = holder()
        if living is None:
            return None
        if is_class(living):
            return class_dict(living).get(label)
        own = attributes(living) or {}
        return own[label] if label in own else dict(slots(living)).get(label)

    cls = owner if is_class(owner) else type(owner)
    return find, f"{name_of(cls)}.{label}"


def _path_from_modules(obj: Any) -> tuple[Callable[[], Any], str] | None:
    for name, module in list(sys.modules.items()):
        if type(module) is not types.ModuleType or is_own_module(name):
            continue
        for variable, value in list(module.__dict__.items()):
            if value is obj:
                return _following(Path(name, (("root", str(variable)),)))
            if is_class(value) and module_of(value) == name:
                label = next((key for key, item in list(class_dict(value).items()) if item is obj), None)
                if label is not None:
                    return _following(Path(name, (("root", str(variable)), ("attribute", label))))
    return None


def _following(path: Path) -> tuple[Callable[[], Any], str]:
    def find() -> Any:
        try:
            return path.resolve()
        except Gone:
            return None

    return find, str(path)
