"""Threads that stand where a test wants them."""

from __future__ import annotations

import threading
from contextlib import contextmanager


class Standing:
    """A thread that has reached a line and stays there until released."""

    def __init__(self, body):
        self.reached = threading.Event()
        self.release = threading.Event()
        self.thread = threading.Thread(target=body, args=(self,), name=f"stands-{body.__name__}", daemon=True)


@contextmanager
def standing(*bodies):
    """Run each body on a thread; a body calls ``here.reached.set()`` before it waits for ``here.release``."""
    held = [Standing(body) for body in bodies]
    try:
        for one in held:
            one.thread.start()
            assert one.reached.wait(20)
        yield held
    finally:
        for one in held:
            one.release.set()
        for one in held:
            one.thread.join(20)


def until(condition, what="it"):
    """Ask again and again until it is true; for what another thread brings about."""
    pause = threading.Event()
    for _ in range(2000):
        found = condition()
        if found:
            return found
        pause.wait(0.01)
    raise TimeoutError(f"{what} did not come about")
