# ruff: noqa: SLF001 - the cell of a ref is this package's own
"""Monitors and links between actors, by their refs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens_actors.messages import Down, Monitor
from beamlens_actors.reasons import NoProcess

if TYPE_CHECKING:
    from beamlens_actors.ref import ActorRef


def monitor(watcher: ActorRef[Any], target: ActorRef[Any]) -> Monitor:
    """Have one `Down` delivered to `watcher` when `target` has ended.

    With `NoProcess()` at once when it has.
    """
    handle = Monitor(target)
    watcher._cell.bonds.add_monitored(handle, target._cell)
    if not target._cell.bonds.add_watcher(handle, watcher._cell):
        watcher._cell.down(Down(target, NoProcess(), handle))
    return handle


def demonitor(watcher: ActorRef[Any], handle: Monitor) -> None:
    """Undo `monitor`; a `Down` that is under way is not delivered. Fine when it was before."""
    target = watcher._cell.bonds.drop_monitored(handle)
    if target is not None:
        target.bonds.remove_watcher(handle)


def link(one: ActorRef[Any], other: ActorRef[Any]) -> None:
    """Tie two actors: when one ends, the other gets its reason as an exit signal. Twice is once."""
    if one is other:
        return
    for side, far in ((one, other), (other, one)):
        side._cell.bonds.add_link(far)
    # Looked at after both halves stand: one that ended in between may have told the other too early. Telling
    # twice does no harm, for the first takes the link away.
    for side, far in ((one, other), (other, one)):
        if not far.is_alive():
            side._cell.link_ended(NoProcess(), far)


def unlink(one: ActorRef[Any], other: ActorRef[Any]) -> None:
    """Undo `link`. Fine when they are not linked."""
    one._cell.bonds.drop_link(other)
    other._cell.bonds.drop_link(one)
