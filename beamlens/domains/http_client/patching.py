"""Methods of a library that are wrapped while somebody listens, and put back exactly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Method = Callable[..., Any]
Alive = Callable[[], bool]


class Patch:
    """One method of one class.

    It is put back only where it still stands, judged by identity: marks are copied by ``functools.wraps`` and proxies.
    Where somebody has wrapped it since, ours stays underneath and passes through for good; a later installation wraps
    anew what it finds.
    """

    def __init__(self, module: str, path: str, make: Callable[[Method, Alive], Method]) -> None:
        """Describe it; nothing is imported.

        Args:
            module: Module of the class.
            path: Class and method, such as ``ClientSession._request``.
            make: Makes the wrapper of a method; it must ask whether it is alive before it does anything.
        """
        self._module = module
        self._class, self._name = path.split(".")
        self._make = make
        self._wrapper: Method | None = None
        self._original: Method | None = None
        self._token: list[bool] | None = None

    def _owner(self) -> Any:
        """The class, once the host has imported it: never imported by us, and a half-imported module has none."""
        return getattr(sys.modules.get(self._module), self._class, None)

    @property
    def installed(self) -> bool:
        """Whether ours is in place or underneath somebody's wrapper."""
        return self._wrapper is not None

    def install(self) -> None:
        """Wrap the method, if its module is imported, has it, and it is not wrapped yet."""
        owner = self._owner()
        if self._wrapper is not None or owner is None or self._name not in vars(owner):
            return
        original = vars(owner)[self._name]
        token: list[bool] = [True]
        wrapper = self._make(original, lambda: token is self._token)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(wrapper, name, getattr(original, name, None))
        self._token, self._original, self._wrapper = token, original, wrapper
        setattr(owner, self._name, wrapper)

    def uninstall(self) -> None:
        """Put the method back, unless somebody wrapped ours; then it only passes through."""
        owner = self._owner()
        if self._wrapper is not None and owner is not None and vars(owner).get(self._name) is self._wrapper:
            setattr(owner, self._name, self._original)
        self._wrapper = self._original = None
        self._token = None
