"""Names the actor that keeps the hub from its other actors."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from beamlens_actors.backends.threads import spawn
from beamlens_actors.errors import InvalidOption

if TYPE_CHECKING:
    from types import FrameType

    from beamlens_actors.backends.hub import ActorHub

logger = logging.getLogger("beamlens_actors")

DEFAULT_BLOCKING_SECONDS = 0.5

_seconds: float | None = DEFAULT_BLOCKING_SECONDS
_changed = threading.Event()


def set_max_blocking_time(seconds: float | None) -> None:
    """Warn of a handler that keeps the hub of backend ``greenlets`` for longer than `seconds`; `None`: never.

    The warning is logged once for each such turn and names the actor and the place. It comes between once and twice
    `seconds` after the beginning. Nothing can be done about it from outside: see `offload`.

    Raises:
        InvalidOption: not a number above 0.
    """
    global _seconds
    if seconds is not None and not seconds > 0:
        raise InvalidOption(f"the blocking time must be a number of seconds above 0, or None, not {seconds!r}")
    _seconds = seconds
    _changed.set()


def start(hub: ActorHub) -> None:
    """Watch a hub as long as its thread lives. Without a thread for it, there is no watchdog."""
    try:
        spawn(lambda: _watch(hub), "beamlens-hub-watchdog")
    except RuntimeError as error:
        logger.warning("nobody watches for actors that block the hub: %s", error)


def _watch(hub: ActorHub) -> None:
    # On real time, whatever clock is installed: it is about the thread.
    seen = reported = -1
    while hub.thread.is_alive():
        if _changed.wait(_seconds):
            _changed.clear()
            seen = -1
            continue
        turn = hub.turns
        if turn == seen and turn != reported and _seconds is not None:
            frame = sys._current_frames().get(hub.thread.ident or 0)  # noqa: SLF001 - the only way
            text = None if frame is None else _blocking(frame)
            if text is not None and hub.turns == turn:
                reported = turn
                logger.warning("%s, and no other actor of the hub can go on; see beamlens_actors.offload", text)
        seen = turn


def _blocking(frame: FrameType) -> str | None:
    """Who is at work in the hub's thread; nothing when its loop waits."""
    from beamlens_actors.backends.hub import TURN

    stack: list[FrameType] = []
    found: FrameType | None = frame
    while found is not None:
        if found.f_code is TURN:
            place = traceback.extract_stack(_outside(stack) or frame, limit=1)[0]
            name = found.f_locals["cell"].name
            return f"{name} has kept its thread for over {_seconds} s at {place.filename}:{place.lineno}"
        stack.append(found)
        found = found.f_back
    return None


def _outside(stack: list[FrameType]) -> FrameType | None:
    """The innermost frame of the actor's own code, rather than of what it called in this package."""
    own = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    return next((frame for frame in stack if not frame.f_code.co_filename.startswith(own)), None)


if hasattr(os, "register_at_fork"):

    def _after_fork() -> None:
        global _changed
        _changed = threading.Event()

    os.register_at_fork(after_in_child=_after_fork)
