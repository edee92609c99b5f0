"""Which actor the running code belongs to, and how it waits."""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from beamlens_actors.cell import Cell
    from beamlens_actors.clock import Token
    from beamlens_actors.ref import ActorRef


class Hub(Protocol):
    """The thread of a backend that runs many actors: all that the rest must know of it."""

    def current_cell(self) -> Cell | None:
        """Whose code is running now."""
        ...

    def may_park(self) -> bool:
        """Whether what is running now can be set aside until it is woken."""
        ...

    def make_token(self) -> Token:
        """See the function `make_token`."""
        ...


class _Local(threading.local):
    cell: Cell | None = None
    hub: Hub | None = None
    never_blocks: bool = False


local = _Local()


def current_cell() -> Cell | None:
    """The cell of the actor whose code is running."""
    cell = local.cell
    if cell is None:
        hub = local.hub
        if hub is not None:
            return hub.current_cell()
    return cell


def current_actor() -> ActorRef[Any] | None:
    """The ref of the actor whose code is running, or `None` on a plain thread."""
    cell = current_cell()
    # What an actor offloaded may outlive it.
    return getattr(cell, "ref", None)


def who() -> object:
    """Something that is equal for the same actor, or plain thread."""
    return threading.get_ident(), current_cell()


def may_block() -> bool:
    """Whether the caller may be parked: not on an event loop's thread, not on the timer thread, not in a hub's loop."""
    if local.never_blocks:
        return False
    hub = local.hub
    if hub is not None:
        return hub.may_park()
    # Importing it takes longer than all of this package, and where nobody has, no event loop runs.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def make_token() -> Token:
    """A token for one wait of the caller, for `clock.acquire`.

    It parks a thread; on a hub it parks the caller only, so that the other actors go on.
    """
    hub = local.hub
    if hub is not None:
        return hub.make_token()
    token = allocate_lock()
    token.acquire()
    return token
