"""Ending by Ctrl-C as Python itself does: in order, and then by the signal, so that a shell can tell."""

from __future__ import annotations

import atexit
import sys

_interrupted = False


def prepare() -> None:
    """Call this before anything else is registered with ``atexit``: then it runs after all of that."""
    atexit.register(_remind)


def interrupt() -> None:
    """Have the interpreter end by the signal.

    Raises:
        KeyboardInterrupt: Always; it shows nothing more.
    """
    global _interrupted
    _interrupted = True
    sys.excepthook = lambda *_shown: None
    raise KeyboardInterrupt from None


def _remind() -> None:
    # The interpreter remembers that a KeyboardInterrupt ended the program, until any text is executed: a dataclass that
    # is defined while the report is written is enough for the exit code to become 1. So this is the last text.
    if _interrupted:
        try:
            exec("raise KeyboardInterrupt")  # noqa: S102 - what the interpreter remembers is told in this way only
        except KeyboardInterrupt:
            pass
