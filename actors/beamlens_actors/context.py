"""Which actor the running code belongs to, and whether it may block."""

from __future__ import annotations

import asyncio
import threading
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beamlens_actors.cell import Cell
    from beamlens_actors.clock import Token
    from beamlens_actors.ref import ActorRef


class _Local(threading.local):
    cell: Cell | None = None
    never_blocks: bool = False


local = _Local()


def current_actor() -> ActorRef[Any] | None:
    """The ref of the actor whose code is running, or `None` on a plain thread."""
    cell = local.cell
    return None if cell is None else cell.ref


def make_token() -> Token:
    """A token for one wait of the calling code: `clock.acquire` it, and have another `clock.release` it."""
    token = allocate_lock()
    token.acquire()
    return token


def may_block() -> bool:
    """Whether the calling thread may be parked: not on an event loop's thread, not on the timer thread."""
    if local.never_blocks:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
