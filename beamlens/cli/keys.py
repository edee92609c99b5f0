"""Single keys from a terminal, the size of its window, and a bell that other threads ring."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Keys:
    """While entered: keys come without Enter and are not shown, and `wait` wakes early for whatever happens."""

    def __init__(self) -> None:
        self._input: int | None = None
        self._before: Any = None
        self._resized_before: Any = None
        self._rung, self._bell = os.pipe()

    def __enter__(self) -> Self:
        for descriptor in (self._bell, self._rung):
            os.set_blocking(descriptor, False)
        if sys.stdin is not None and sys.stdin.isatty():
            self._take_over(sys.stdin.fileno())
        if hasattr(signal, "SIGWINCH"):
            self._resized_before = signal.signal(signal.SIGWINCH, lambda *_signal: self.ring())
        return self

    def _take_over(self, descriptor: int) -> None:
        import termios
        import tty

        self._before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        changed = termios.tcgetattr(descriptor)
        # Ctrl-Z would leave the screen to the shell as it is.
        changed[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        self._input = descriptor

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._input is not None:
            import termios

            with suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
        if hasattr(signal, "SIGWINCH"):
            signal.signal(signal.SIGWINCH, self._resized_before)
        os.close(self._bell)
        os.close(self._rung)

    def ring(self) -> None:
        """Wake the waiter; from any thread, or a signal's handler."""
        with suppress(OSError):
            os.write(self._bell, b"\0")

    def wait(self, seconds: float) -> str:
        """The keys that were pressed, once there are some, the bell rang or the time passed; ``""``: none.

        Raises:
            EOFError: The terminal was closed.
        """
        sources = [self._rung] + ([] if self._input is None else [self._input])
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._rung in ready:
            with suppress(BlockingIOError):
                os.read(self._rung, 4096)
        if self._input is None or self._input not in ready:
            return ""
        try:
            typed = os.read(self._input, 1024)
        except OSError as error:
            raise EOFError from error
        if not typed:
            raise EOFError
        return typed.decode("utf-8", "replace")
