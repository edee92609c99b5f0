"""What a Lua error means to somebody who is used to other languages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_NIL_CALL = re.compile(r"attempt to call a nil value \((?:global|field|method) '([^']+)'\)")
_NIL_INDEX = re.compile(r"attempt to index a nil value \(global '([^']+)'\)")
_ABSENT = {
    "print": "print is not there: return what you want to see",
    "require": "no modules can be loaded",
    "load": "code cannot be loaded",
    "setmetatable": "metatables are not there; use plain tables",
    "coroutine": "coroutines are not there",
    "io": "files are not there",
    "json": "no json is needed: return the table",
}


def hint(message: str, code: str, names: Iterable[str]) -> str:
    """A hint to append to an error's message, or ``""``.

    Args:
        message: Lua's message.
        code: The code that failed.
        names: Names of the functions that the code may call.
    """
    match = _NIL_CALL.search(message) or _NIL_INDEX.search(message)
    if match:
        name = match[1]
        if name in _ABSENT:
            return _ABSENT[name]
        known = list(names)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if close:
            return f"did you mean {' or '.join(close)}?"
        return f"there is no {name}; the functions are: {', '.join(known[:30])}" if known else ""
    if "near" in message and "return" not in code:
        return "to see a value, begin with return, as in: return 1 + 1"
    if "unexpected symbol near '!'" in message or "near '!'" in message:
        return "not equal is ~= in Lua, and not is spelled out"
    return ""
