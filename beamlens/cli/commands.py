"""Commands that are Python scripts, such as ``gunicorn``: found as a shell finds them, to be run in this process."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

_SEPARATORS = tuple(one for one in (os.sep, os.altsep) if one)
_MOST_READ = 4096


class NoPythonScript(Exception):  # noqa: N818 - says what it is
    """A command was found, and cannot be run in this interpreter; the message says why."""


def is_program(word: str) -> bool:
    """Whether Python itself could run it: a file, or a folder with a ``__main__.py``."""
    path = Path(word)
    return path.is_file() or (path / "__main__.py").is_file()


def find_command(name: str) -> str | None:
    """The path of a command's script: beside this interpreter, else on ``PATH``.

    Raises:
        NoPythonScript: It is none of Python's, or belongs to another environment.
    """
    if not name or any(separator in name for separator in _SEPARATORS):
        return None
    folders = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    own = shutil.which(name, path=os.pathsep.join(dict.fromkeys(folders)))
    found = own or shutil.which(name)
    if found is None:
        return None
    interpreter = _interpreter(found)
    if interpreter is None:
        raise NoPythonScript(f"{found} is no Python script; only what Python runs can be watched from inside")
    if own is None and not _is_this(interpreter):
        text = f"{found} belongs to another Python ({interpreter}), not to {sys.executable}"
        raise NoPythonScript(f"{text}: install Beamlens in its environment, and use the `beamlens` command there")
    return found


def _interpreter(script: str) -> str | None:
    """What a script says that it is to be run with, if that is Python."""
    try:
        with open(script, "rb") as file:  # noqa: PTH123
            head = file.read(_MOST_READ)
    except OSError as error:
        raise NoPythonScript(f"{script} cannot be read: {error.strerror}") from error
    if not head.startswith(b"#!"):
        return None
    first, _, rest = head.partition(b"\n")
    words = first[2:].decode("utf-8", "surrogateescape").split()
    if words and Path(words[0]).name == "sh" and rest.startswith(b"'''exec' "):
        # What installers write where the interpreter's path is too long for a first line.
        words = [
            rest.split(b" ", 1)[1].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").split(' "$0"')[0].strip('"')
        ]
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if not words or not Path(words[0]).name.startswith("python"):
        return None
    return words[0]


def _is_this(interpreter: str) -> bool:
    """Whether an interpreter sees what this one sees: its folder is the same. What links point to says nothing."""
    path = interpreter if os.path.isabs(interpreter) else shutil.which(interpreter) or ""  # noqa: PTH117
    if not path:
        return False
    return Path(path).parent.resolve() == Path(sys.executable).parent.resolve()
