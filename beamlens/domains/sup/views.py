"""Trees, actors and processes as callbacks show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from beamlens.domains.sup.census import Described, Supervised, View
from beamlens.domains.sup.kinship import Parent
from beamlens.domains.sup.processes import ChildProcess
from beamlens.domains.sup.recorder import Crashed
from beamlens.domains.sup.watch import Loop
from beamlens_actors import ActorRef, waiting_messages
from beamlens_supervision import ChildInfo

DEPTH = 3
MOST_CHILDREN = 200
BUSY = "busy"


def supervisor_row(one: Supervised, parent: Parent | None) -> dict[str, Any]:
    """A supervisor; its counts are ``None`` while it is busy."""
    children = one.children
    return {
        "name": one.ref.name,
        "pid": one.ref.actor_urn,
        "child_count": None if children is None else len(children),
        "active_children": None if children is None else sum(info.state == "running" for info, _ in children),
        "restarts": None if children is None else one.restarts,
        "state": BUSY if children is None else "running",
        "mailbox": one.ref.mailbox_stats().size,
        "supervisor": None if parent is None else parent.name,
        "own": one.own,
    }


def child_row(info: ChildInfo, restarts: int) -> dict[str, Any]:
    """A child; its pid is ``undefined`` or ``restarting`` while it does not run."""
    ref = info.ref
    pid = "restarting" if info.state == "restarting" else "undefined"
    return {
        "id": str(info.id),
        "pid": pid if ref is None else ref.actor_urn,
        "name": None if ref is None else ref.name,
        "type": info.type,
        "state": info.state,
        "restarts": restarts,
        "mailbox": 0 if ref is None else waiting_messages(ref),
    }


def tree_node(one: Supervised, held: Mapping[ActorRef[Any], Supervised], depth: int = DEPTH) -> dict[str, Any]:
    """A supervisor and what is under it.

    Args:
        one: The supervisor.
        held: All supervisors by ref.
        depth: Levels of children that are shown; what is cut off has ``truncated``.
    """
    node: dict[str, Any] = {"name": one.ref.name, "state": "running" if one.children is not None else BUSY}
    if one.children is None:
        return {**node, "children": []}
    node["children"] = [_child_node(info, restarts, held, depth - 1) for info, restarts in _first(one.children)]
    if len(one.children) > MOST_CHILDREN:
        node |= {"truncated": True, "child_count": len(one.children)}
    return node


def _child_node(info: ChildInfo, restarts: int, held: Mapping[ActorRef[Any], Supervised], depth: int) -> dict[str, Any]:
    node = child_row(info, restarts)
    below = None if info.ref is None else held.get(info.ref)
    if below is None:
        return node
    if depth <= 0:
        return {**node, "truncated": True}
    return {**node, **{key: value for key, value in tree_node(below, held, depth).items() if key != "name"}}


def _first(children: Described) -> Described:
    return children[:MOST_CHILDREN]


def actor_row(ref: Any, parent: Parent | None = None) -> dict[str, Any]:
    """An actor."""
    return {
        "name": getattr(ref, "name", None),
        "pid": ref.actor_urn,
        "kind": f"{ref.actor_class.__module__}.{ref.actor_class.__qualname__}",
        "mailbox": waiting_messages(ref),
        "supervisor": None if parent is None else parent.name,
        "id": None if parent is None else parent.child_id,
    }


def crash_row(one: Crashed) -> dict[str, Any]:
    """A crash."""
    place = one.place
    return {
        "time": datetime.fromtimestamp(one.at, UTC).isoformat(),
        "supervisor": one.supervisor,
        "child": one.child,
        "exception": one.error.type,
        "message": one.error.message[:300],
        "at": None if place is None else f"{place.file}:{place.line}",
        "starting": one.starting,
        "own": one.own,
    }


def process_row(one: ChildProcess, now: float) -> dict[str, Any]:
    """A child process."""
    return {
        "pid": one.pid,
        "name": one.name,
        "status": one.status,
        "started": datetime.fromtimestamp(one.created, UTC).isoformat(),
        "zombie_s": round(one.zombie_for(now), 1) if one.zombie_since is not None else None,
        "adopted": one.adopted,
    }


def integrity(one: Supervised, view: View, loops: Sequence[Loop]) -> dict[str, Any]:
    """Counts of a supervisor's direct children, and what is odd about them.

    Args:
        one: The supervisor.
        view: All of them.
        loops: Its children that crash again and again.
    """
    children = one.children
    if children is None:
        return {"name": one.ref.name, "state": BUSY, "anomalies": [{"type": "busy", "detail": "gave no answer"}]}
    running = sum(info.state == "running" for info, _ in children)
    restarting = sum(info.state == "restarting" for info, _ in children)
    stopped = len(children) - running - restarting
    anomalies = [
        {
            "type": "crash_loop",
            "child": loop.child,
            "detail": f"{len(loop.crashes)} crashes in the last {loop.window:.0f} s",
        }
        for loop in loops
    ]
    if len(children) >= 4 and stopped + restarting > len(children) / 2:
        anomalies.append({"type": "high_undefined_ratio", "detail": f"{stopped + restarting} of {len(children)}"})
    if len(children) > 100:
        anomalies.append({"type": "large_supervisor", "detail": f"{len(children)} children"})
    return {
        "name": one.ref.name,
        "state": "running",
        "child_count": len(children),
        "running": running,
        "restarting": restarting,
        "stopped": stopped,
        "supervisors": sum(info.type == "supervisor" for info, _ in children),
        "workers": sum(info.type == "worker" for info, _ in children),
        "restarts": one.restarts,
        "same_name": len(view.named(one.ref.name)) - 1,
        "anomalies": anomalies,
    }
