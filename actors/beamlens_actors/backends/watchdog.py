"""Names the actor that keeps the hub from its other actors."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from typing import TYPE_CHECKING

from beamlens_actors.backends.threads import spawn
from beamlens_actors.errors import InvalidOption
from beamlens_actors.thread_frames import thread_frames

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
    watch = Watch(hub)
    while hub.thread.is_alive():
        if _changed.wait(_seconds):
            _changed.clear()
            watch = Watch(hub)
            continue
        text = watch.look()
        if text is not None:
            logger.warning("%s, and no other actor of the hub can go on; see beamlens_actors.offload", text)


class Watch:
    """Looks at a hub from time to time: blocked is one whose loop has not come round since it was looked at last."""

    def __init__(self, hub: ActorHub) -> None:
        self._hub = hub
        self._turn = self._reported = -1
        self._asked = False

    def look(self) -> str | None:
        """Who has kept the hub since the last look; each turn is told of once."""
        turn = self._hub.turns
        frame = thread_frames().get(self._hub.thread.ident or 0)
        text = None if frame is None or turn == self._reported else _blocking(frame)
        if text is None:
            return None
        # The same turn is not enough: what waited in it may have gone on a moment ago.
        if self._asked and turn == self._turn == self._hub.turns:
            self._reported = turn
            return text
        self._turn = turn
        if not self._asked:
            self._asked = True
            self._hub.call(self._answer)
        return None

    def _answer(self) -> None:
        self._asked = False


def _blocking(frame: FrameType) -> str | None:
    """Who is at work in the hub's thread; nothing when its loop waits."""
    from beamlens_actors.backends.hub import TURN

    stack: list[FrameType] = []
    found: FrameType | None = frame
    while found is not None:
        if found.f_code is TURN:
            cell = found.f_locals.get("cell")
            if cell is None:
                return None  # it has just begun
            place = traceback.extract_stack(_outside(stack) or frame, limit=1)[0]
            return f"{cell.name} has kept its thread for over {_seconds} s at {place.filename}:{place.lineno}"
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
