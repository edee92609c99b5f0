"""Which Python can start the worker, and where its two libraries are."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from beamlens.lua.errors import LuaError

_LIBRARIES = ("lupa", "msgpack")
_PYTHON = re.compile(r"python[0-9.]*[a-z]*(\.exe)?", re.IGNORECASE)


def find_interpreter() -> str:
    """The interpreter of this process, or one of the same version where a host embeds Python.

    uWSGI and mod_wsgi put their own program into `sys.executable`; starting that would start a server.

    Raises:
        LuaError: There is none.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    places = [sys.executable, str(getattr(sys, "_base_executable", "") or "")]
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix)):
        places += [str(Path(prefix, "bin", name)) for name in (version, "python3", "python")]
    # Frozen programs name themselves as the executable, whatever they are called.
    found = [] if getattr(sys, "frozen", False) else [place for place in places if _is_python(place)]
    if not found:
        raise LuaError(
            "runtime",
            "the sandbox needs a Python interpreter to start its process, and this program embeds one: "
            f"neither sys.executable ({sys.executable!r}) nor {sys.prefix}/bin has it",
        )
    return found[0]


def _is_python(place: str) -> bool:
    return bool(place) and _PYTHON.fullmatch(Path(place).name) is not None and os.access(place, os.X_OK)


def library_folders() -> list[str]:
    """Folders to import lupa and msgpack from: an isolated interpreter knows no site-packages.

    Raises:
        LuaError: One is not installed.
    """
    folders = []
    for name in _LIBRARIES:
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # something without a spec stands in its place
            spec = None
        if spec is None or spec.origin is None:
            raise LuaError("runtime", f"the sandbox needs the package {name}, which is not installed")
        folders.append(str(Path(spec.origin).absolute().parent.parent))
    return list(dict.fromkeys(folders))
