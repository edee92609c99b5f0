"""The script that a worker process starts with: ``launch.py MEMORY_MB PACKAGE_FOLDER LIBRARY_FOLDER...``."""

from __future__ import annotations

import sys
from types import ModuleType


def main() -> None:
    """Make this folder importable under its own name, without the packages above it, and serve.

    The interpreter is isolated and knows no site-packages; the libraries' folders come last, so that nothing
    in them can take the place of a module of the standard library.
    """
    memory_mb, package, *libraries = sys.argv[1:]
    for name, folder in (("beamlens", package), ("beamlens.lua", f"{package}/lua")):
        module = ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module
    sys.path += libraries
    from beamlens.lua.worker.serving import serve

    serve(int(memory_mb))


if __name__ == "__main__":
    main()
