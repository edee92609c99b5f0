"""Between Lua's values and plain ones, within bounds. No code of the sandbox runs here: tables have no metatables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

MOST_TEXT = 64_000
MOST_VALUES = 5_000
MOST_DEPTH = 8


class Refused(Exception):  # noqa: N818 - an answer
    """A value cannot be passed; its text says why."""


class Reader:
    """Makes plain values of Lua's; the bounds hold for all that one reader reads."""

    def __init__(self, lua54: Any, lengths: Any) -> None:
        """Read with the module `lua54`; `lengths` is the box's table of lists with holes."""
        self._type = lua54.lua_type
        self._lengths = lengths
        self._values = 0
        self._text = 0

    def plain(self, value: Any, depth: int = 0) -> Any:
        """A JSON value.

        Raises:
            Refused: There is none for it, or it is too large.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            raise Refused(f"more than {MOST_VALUES} values; return less")
        if isinstance(value, bytes):
            return self._str(value)
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        kind = self._type(value)
        if kind == "table":
            return self._table(value, depth)
        raise Refused(f"a {kind or type(value).__name__} cannot be returned; return data")

    def _str(self, value: bytes) -> str:
        self._text += len(value)
        if self._text > MOST_TEXT:
            raise Refused(f"more than {MOST_TEXT // 1000} KB of text; return less")
        return value.decode("utf-8", "replace")

    def _table(self, table: Any, depth: int) -> Any:
        if depth >= MOST_DEPTH:
            raise Refused(f"tables nested deeper than {MOST_DEPTH}, or in a circle")
        items = []
        for item in table.items():
            items.append(item)
            if len(items) > MOST_VALUES:
                raise Refused(f"more than {MOST_VALUES} values; return less")
        length = _length([key for key, _ in items], self._lengths[table])
        if length is not None:
            values = dict(items)
            return [self.plain(values.get(i + 1), depth + 1) for i in range(length)]
        found: dict[str, Any] = {}
        for key, value in items:
            name = self._key(key)
            if name in found:
                raise Refused(f"two keys of a table are both written {name!r}; use texts only or numbers only")
            found[name] = self.plain(value, depth + 1)
        return found

    def _key(self, key: Any) -> str:
        if isinstance(key, bytes):
            return self._str(key)
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (int, float)):
            return str(key)
        raise Refused("a table's key must be a text or a number")


def _length(keys: Iterable[Any], known: int | None) -> int | None:
    """How long the list with these keys is, holes included; ``None`` if it is no list.

    A list begins at 1, and less than half of it are holes: else the numbers are names of something.
    """
    count = largest = 0
    first = False
    for key in keys:
        if type(key) is not int or key < 1:
            return None
        count += 1
        largest = max(largest, key)
        first = first or key == 1
    if known is not None:
        return max(known, largest) if largest <= known + count else None
    if not count:
        return 0
    return largest if first and largest < 2 * count else None


def to_lua(lua: Any, lengths: Any, value: Any) -> Any:
    """A Lua value of a plain one whose texts are bytes. The memory limit must be off."""
    if isinstance(value, dict):
        return lua.table_from({key: to_lua(lua, lengths, item) for key, item in value.items() if item is not None})
    if isinstance(value, list):
        table = lua.table_from([to_lua(lua, lengths, item) for item in value])
        if None in value:
            lengths[table] = len(value)
        return table
    return value
