"""Runs a program in this process as `python script.py` or `python -m module` would."""

from __future__ import annotations

import io
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments."""

    name: str
    argv: tuple[str, ...]
    is_module: bool

    @classmethod
    def script(cls, path: str, arguments: Sequence[str]) -> Self:
        """A file, or a folder or archive with a ``__main__.py``."""
        return cls(path, (path, *arguments), is_module=False)

    @classmethod
    def module(cls, name: str, arguments: Sequence[str]) -> Self:
        """A module; its file becomes ``sys.argv[0]``."""
        return cls(name, (name, *arguments), is_module=True)

    def run(self) -> int:
        """Run it; returns its exit code, below 0 the signal that ended it. Its threads may go on."""
        sys.argv = list(self.argv)
        # As with `python`: the script's folder is first; with -m the working directory.
        sys.path[0] = os.getcwd() if self.is_module else os.path.dirname(os.path.realpath(self.name))  # noqa: PTH109, PTH120
        try:
            self._execute()
        except SystemExit as end:
            return _exit_code(end.code)
        except KeyboardInterrupt as error:
            _show(error)
            return -signal.SIGINT
        except BaseException as error:  # noqa: BLE001 - as the interpreter does at the top
            _show(error)
            return 1
        return 0

    def _execute(self) -> None:
        if self.is_module:
            runpy.run_module(self.name, run_name="__main__", alter_sys=True)
            return
        if os.path.isdir(self.name) or self.name.endswith((".zip", ".pyz")):  # noqa: PTH112
            runpy.run_path(self.name, run_name="__main__")
            return
        _run_script(self.name)


def _run_script(path: str) -> None:
    """As `runpy.run_path`, but the module stays: threads and pickles of the program still need it at its end."""
    import types

    with io.open_code(os.path.abspath(path)) as file:  # noqa: PTH100
        code = compile(file.read(), path, "exec", dont_inherit=True)
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = sys.modules["builtins"]  # type: ignore[attr-defined]
    module.__dict__["__cached__"] = None
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 - the user's own program


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def _show(error: BaseException) -> None:
    """The traceback as the interpreter prints it, without our frames, through the program's own hook."""
    shown = _without_ours(error.__traceback__)
    try:
        sys.excepthook(type(error), error.with_traceback(shown), shown)
    except BaseException:  # noqa: BLE001 - the program's hook failed
        traceback.print_exception(error)


def _without_ours(found: TracebackType | None) -> TracebackType | None:
    skipped = (__file__, runpy.__file__, "<frozen runpy>")
    while found is not None and found.tb_frame.f_code.co_filename in skipped:
        found = found.tb_next
    return found
