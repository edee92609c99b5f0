"""No fork in the middle of an import of ours: the child would wait for ever for whoever held the module's lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import _bootstrap
from typing import Any

from beamlens_actors import is_actor_thread

_MOST = 5.0
_PAUSE = 0.001


def wait_for_own(most: float = _MOST, sleep: Callable[[float], object] = time.sleep) -> bool:
    """Wait until no thread of Beamlens's is importing. Right before a fork, on the forking thread; real time.

    Between its last look and the fork this thread keeps the GIL, so that none can begin.

    Args:
        most: Seconds; the fork is not held up for longer.
        sleep: How a moment is waited.

    Returns:
        Whether none is.
    """
    end = time.monotonic() + most
    while _importing():
        if time.monotonic() >= end:
            return False
        sleep(_PAUSE)
    return True


def _importing() -> bool:
    # Each module that is being imported has a lock here, with the thread that holds it (CPython 3.11 to 3.13).
    locks: dict[str, Any] = getattr(_bootstrap, "_module_locks", {})
    for reference in list(locks.values()):
        owner = getattr(reference(), "owner", None)
        if isinstance(owner, int) and is_actor_thread(owner):
            return True
    return False
