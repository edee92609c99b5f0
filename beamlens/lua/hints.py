"""What a Lua error means to somebody who is used to other languages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

KEYWORDS = frozenset(
    "and break do else elseif end false for function goto if in local nil not or repeat return then true until while".split()  # noqa: E501, SIM905
)
_NIL_CALL = re.compile(r"attempt to call a nil value \((global|field|method|local|upvalue) '([^']+)'\)")
_NIL_INDEX = re.compile(r"attempt to index a nil value \(global '([^']+)'\)")
_NO_CODE = "code cannot be loaded here; write it out"
_NO_FILES = "there are no files and no processes here; only the functions that were given"
_META = "there are no metatables here; use plain tables and functions"
_LOOP = "use a loop with ipairs"
_ABSENT = {
    "print": "print is not there: return what you want to see",
    "require": "no modules can be loaded",
    "load": _NO_CODE,
    "loadstring": _NO_CODE,
    "dofile": _NO_CODE,
    "dump": _NO_CODE,
    "setmetatable": _META,
    "getmetatable": _META,
    "rawset": _META,
    "rawget": _META,
    "coroutine": "there are no coroutines here",
    "debug": "there is no debug library here",
    "collectgarbage": "memory is collected by itself",
    "xpcall": "use pcall",
    "io": _NO_FILES,
    "package": _NO_FILES,
    "execute": _NO_FILES,
    "getenv": _NO_FILES,
    "popen": _NO_FILES,
    "python": "Python cannot be reached from here; only the functions that were given",
    "json": "no json is needed: return the table",
    "cjson": "no json is needed: return the table",
    "len": "the length of a table or text is #x",
    "getn": "the length of a table is #t",
    "size": "the length of a table is #t",
    "length": "the length of a table or text is #x",
    "str": "use tostring(x)",
    "int": "use math.floor(x) or tonumber(x)",
    "pow": "a power is x ^ y",
    "round": "use math.floor(x + 0.5)",
    "split": "use string.gmatch, as in: for word in s:gmatch('[^,]+') do",
    "contains": "use s:find(text, 1, true)",
    "trim": "use s:match('^%s*(.-)%s*$')",
    "keys": "use a loop with pairs",
    "foreach": _LOOP,
    "map": _LOOP,
    "filter": _LOOP,
    "range": "use: for i = 1, n do",
    "sum": _LOOP,
    "append": "use table.insert(t, x)",
    "push": "use table.insert(t, x)",
}
_NEAR = [
    ("near '!'", "not equal is ~= in Lua, and not is spelled out"),
    ("near '&'", "and is spelled out in Lua"),
    ("near '|'", "or is spelled out in Lua"),
    ("near '+'", "there is no += or ++ in Lua: x = x + 1"),
    ("near '-'", "there is no -= in Lua: x = x - 1"),
    ("near '?'", "there is no ?: in Lua: use a and b or c"),
    ("near ':'", "in a table constructor it is {name = value}; a block begins with then or do"),
    ("near '['", "a list is written {1, 2, 3}"),
    ("'then' expected", "an if is: if condition then ... end; equal is =="),
    ("near '//'", "a comment begins with --"),
    ("near '#'", "a comment begins with --"),
]
_OPERAND = re.compile(r"attempt to (concatenate|compare|perform arithmetic on) .*\b(nil|table)\b")


def hint(message: str, code: str, names: Iterable[str]) -> str:
    """A hint to append to an error's message, or ``""``.

    Args:
        message: Lua's message.
        code: The code that failed.
        names: Names of the functions that the code may call.
    """
    called = _NIL_CALL.search(message)
    indexed = _NIL_INDEX.search(message)
    if called or indexed:
        name = called[2] if called else indexed[1]  # type: ignore[index]
        return _about_name(name, list(names), is_global=indexed is not None or (called or "")[1] == "global")
    if " near " in message or " expected" in message:
        return _about_syntax(message, code)
    operand = _OPERAND.search(message)
    if operand and operand[2] == "nil":
        return "a value is missing: a name may be misspelt, or the data may lack it; check with if x then"
    if operand and operand[1] == "concatenate":
        return "a table cannot become a text; return the table itself"
    return ""


def _about_name(name: str, names: list[str], *, is_global: bool) -> str:
    if name in _ABSENT:
        return _ABSENT[name]
    if not is_global or not names:
        return ""
    belonging = [known for known in names if known.startswith(f"{name}_")]
    if belonging:
        return f"the names are written with _, as in {' or '.join(belonging[:3])}"
    lower = {known.lower(): known for known in names}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there is no {name}; the functions are: {', '.join(names[:30])}"


def _about_syntax(message: str, code: str) -> str:
    for words, advice in _NEAR:
        if words in message:
            return advice
    return "" if "return" in code else "to see a value, begin with return, as in: return 1 + 1"
