"""What can be wrong with Lua code.

::

    BeamlensError
    └── LuaError        its `kind` says what failed
"""

from __future__ import annotations

from typing import Literal

from beamlens.errors import BeamlensError

LuaErrorKind = Literal["syntax", "runtime", "timeout", "memory", "callback", "result"]


class LuaError(BeamlensError):
    """Lua code failed.

    Attributes:
        kind: ``syntax``, ``runtime``, ``timeout``, ``memory``, ``callback`` (a function given to the sandbox
            failed or could not be called) or ``result`` (what the code returned cannot be given back).
        message: What is wrong, with a hint where the mistake is a common one.
        line: Line of the code, from 1; ``None`` where it is not known.
    """

    def __init__(self, kind: LuaErrorKind, message: str, line: int | None = None) -> None:
        super().__init__(f"{kind} error{f' in line {line}' if line else ''}: {message}")
        self.kind: LuaErrorKind = kind
        self.message = message
        self.line = line

    def __reduce__(self) -> tuple[type[LuaError], tuple[LuaErrorKind, str, int | None]]:
        return type(self), (self.kind, self.message, self.line)
