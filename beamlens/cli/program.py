"""Runs a program in this process as `python script.py` or `python -m module` would."""

from __future__ import annotations

import io
import os
import pkgutil
import runpy
import sys
import traceback
import types
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, Self


class Interrupted(BaseException):
    """A ``KeyboardInterrupt`` ended the program and was shown. Not one itself: click would take it for its own."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments."""

    name: str
    arguments: tuple[str, ...]
    is_module: bool

    @classmethod
    def script(cls, path: str, arguments: Sequence[str]) -> Self:
        """A file, or a folder or archive with a ``__main__.py``."""
        return cls(path, tuple(arguments), is_module=False)

    @classmethod
    def module(cls, name: str, arguments: Sequence[str]) -> Self:
        """A module; its file becomes ``sys.argv[0]``."""
        return cls(name, tuple(arguments), is_module=True)

    def run(self) -> None:
        """Run it to the end of its main thread; its other threads may go on.

        Raises:
            SystemExit: As the program raised it, or 1 after an exception that it did not catch.
            Interrupted: It was ended by ``KeyboardInterrupt``.
        """
        error = self._outcome()
        if error is None:
            return
        _show(error)
        # Python asks for this very class too: what derives from it is an exception like any other.
        if type(error) is KeyboardInterrupt:
            raise Interrupted
        sys.exit(1)

    def _outcome(self) -> BaseException | None:
        try:
            self._execute()
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - as the interpreter does at the top
            return error
        return None

    def _execute(self) -> None:
        main = _new_main()
        if self.is_module:
            sys.argv = ["-m", *self.arguments]
            _replace_first_path(os.getcwd())  # noqa: PTH109 - sys.path holds texts
            _run_as_main(self.name, alter_argv=True)
            return
        sys.argv = [self.name, *self.arguments]
        # Not abspath(): Python leaves dots in the path as they are.
        path = os.path.join(os.getcwd(), self.name)  # noqa: PTH109, PTH118
        if pkgutil.get_importer(path) is not None:
            _replace_first_path(path, always=True)
            _run_as_main("__main__", alter_argv=False)
            return
        _replace_first_path(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
        main.__file__ = path
        main.__dict__["__cached__"] = None
        exec(_compile(main, path), main.__dict__)  # noqa: S102 - the user's own program


def _new_main() -> ModuleType:
    """A ``__main__`` for the program, which stays: threads and pickles still need it at the end."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"], __annotations__={})
    sys.modules["__main__"] = main
    return main


def _replace_first_path(entry: str, *, always: bool = False) -> None:
    """Put the program's folder where Python put ours; with a safe path (``-P``) it put none there."""
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def _run_as_main(name: str, *, alter_argv: bool) -> None:
    # What the interpreter itself calls for -m and for archives: with its messages, and in the `__main__` that is there.
    run: Any = vars(runpy)["_run_module_as_main"]
    run(name, alter_argv)


def _compile(main: ModuleType, path: str) -> CodeType:
    if path.endswith(".pyc"):
        compiled = SourcelessFileLoader("__main__", path)
        main.__loader__ = compiled
        code = compiled.get_code("__main__")
        if code is None:
            raise ImportError(f"there is no code in {path}", path=path)
        return code
    main.__loader__ = SourceFileLoader("__main__", path)
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


def _show(error: BaseException) -> None:
    """The traceback as the interpreter prints it, without our frames, through the program's own hook."""
    error = _without_ours(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as failure:  # noqa: BLE001 - the program's hook failed
        print("Error in sys.excepthook:", file=sys.stderr)  # noqa: T201 - in the interpreter's words
        traceback.print_exception(_without_ours(failure))
        print("\nOriginal exception was:", file=sys.stderr)  # noqa: T201
        traceback.print_exception(error)


def _without_ours(error: BaseException) -> BaseException:
    found: TracebackType | None = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename == __file__:
        found = found.tb_next
    return error.with_traceback(found)
