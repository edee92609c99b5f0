"""`Box`: one run of Lua, in a runtime of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from beamlens.lua.worker.values import Reader, Refused, to_lua

MOST_CALLS = 1_000
MOST_ARGUMENTS = 20
_AT_LINE = re.compile(r"^(?:lua|box):(\d{1,5}):\s*")  # code may pretend to a line of any number
_NO_MEMORY = "not enough memory"

Ask = Callable[[str, list[Any]], dict[str, Any]]
"""Asks the host: the function's name and its arguments, to ``{"ret": value}`` or ``{"err": why}``."""


class Box:
    """Runs one piece of code once.

    Args:
        source: Text of ``box.lua``.
        memory: Bytes that Lua may use.
        ask: Calls a function of the host.
    """

    def __init__(self, source: bytes, memory: int, ask: Ask) -> None:
        from lupa import lua54

        self._lua54: Any = lua54
        self._source = source
        self._memory = memory
        self._ask = ask
        self._calls = 0
        self._deadline = 0.0
        self._lua: Any = self._lua54.LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            max_memory=0,
            attribute_filter=_no_attributes,
        )
        self._lengths: Any = None

    def run(self, code: bytes, names: list[bytes], seconds: float) -> dict[str, Any]:
        """The answer for the host: ``{"ok": value}``, or ``{"error": kind, "message": text, "line": n}``."""
        self._deadline = time.monotonic() + seconds
        try:
            return self._answer(code, names)
        finally:
            # What Lua may call refers to this box: without the way back there is no circle, and the runtime's memory
            # is free when the box is, and not when Python looks for circles.
            self._lua = self._lengths = None

    def _answer(self, code: bytes, names: list[bytes]) -> dict[str, Any]:
        try:
            status, value, line = self._run(code, names)
        except (MemoryError, self._lua54.LuaError) as error:
            self._disarm()
            memory = isinstance(error, MemoryError) or _NO_MEMORY in str(error)
            return _failure("memory" if memory else "runtime", str(error), None)
        if status == "ok":
            return self._result(value)
        return _failure(status, value if isinstance(value, bytes) else self._described(value), line)

    def _run(self, code: bytes, names: list[bytes]) -> tuple[str, Any, int | None]:
        start = (self._arm, self._disarm, self._call, self._overdue, self._lua.table_from(names), MOST_ARGUMENTS)
        run, self._lengths = self._lua.execute(self._source, *start, name=b"=box", mode=b"t")
        answer: Any = run(code)  # Python gets a tuple of more values than one
        status, value, *line = answer if isinstance(answer, tuple) else (answer, None)
        return status.decode(), value, line[0] if line else None

    def _result(self, value: Any) -> dict[str, Any]:
        try:
            return {"ok": Reader(self._lua54, self._lengths).plain(value)}
        except Refused as refused:
            return {"error": "result", "message": str(refused)}
        except MemoryError:
            return {"error": "memory", "message": _NO_MEMORY}

    def _described(self, value: Any) -> bytes:
        """An error value that is no text, as in ``error({code = 1})``."""
        if value is None:
            return b"error was called without a message"
        try:
            return repr(Reader(self._lua54, self._lengths).plain(value)).encode()
        except (Refused, MemoryError):
            return b"an error value that is no text"

    # What Lua may call. None of these may raise: Lua would get hold of the exception.

    def _arm(self) -> None:
        self._lua.set_max_memory(self._memory)

    def _disarm(self) -> None:
        self._lua.set_max_memory(0)

    def _overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def _call(self, name: bytes, count: int, arguments: Any) -> tuple[bool, Any]:
        try:
            return self._called(name, count, arguments)
        except Refused as refused:
            return False, f"an argument cannot be passed: {refused}".encode()
        except MemoryError:
            return False, _NO_MEMORY.encode()
        except Exception as error:  # noqa: BLE001 - see above
            return False, type(error).__name__.encode()

    def _called(self, name: bytes, count: int, arguments: Any) -> tuple[bool, Any]:
        self._calls += 1
        if self._calls > MOST_CALLS:
            return False, f"more than {MOST_CALLS} calls of functions in one run".encode()
        reader = Reader(self._lua54, self._lengths)
        answer = self._ask(name.decode(), [reader.plain(arguments[i + 1]) for i in range(count)])
        if "err" in answer:
            return False, answer["err"]
        return True, to_lua(self._lua, self._lengths, answer.get("ret"))


def _failure(kind: str, message: bytes | str, line: int | None) -> dict[str, Any]:
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    if _NO_MEMORY in text and kind in ("runtime", "memory", "syntax"):
        return {"error": "memory", "message": _NO_MEMORY, "line": line}
    match = _AT_LINE.match(text)
    if match:
        own = text.startswith("lua")
        text = text[match.end() :]
        line = int(match[1]) if own else line
    return {"error": kind, "message": text[:2000] or "an error with an empty message", "line": line}


def _no_attributes(_object: Any, name: Any, _setting: bool) -> Any:
    raise AttributeError(f"no access to {name!r}")
