"""What a running tree looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from beamlens_actors import ActorError, ActorRef
from beamlens_supervision.refs import ParentRef

if TYPE_CHECKING:
    from beamlens_supervision.children import ChildInfo

UNANSWERED = "unanswered"
"""State of a supervisor that is too busy to be asked; its children are not shown."""


class TreeNode(TypedDict):
    """One actor of a tree, as plain data.

    `state` is `running`, `restarting`, `stopped` or `unanswered`; `mailbox` counts the messages that wait.
    """

    id: str | None
    name: str | None
    type: str
    state: str
    restarts: int
    mailbox: int
    children: list[TreeNode]


def tree(ref: ActorRef[Any], *, timeout: float = 1.0) -> TreeNode:
    """The tree under `ref` as nested dicts and lists.

    Args:
        ref: a supervisor, or a worker for a tree of one.
        timeout: seconds each supervisor is given to answer.
    """
    kind = "supervisor" if isinstance(ref, ParentRef) else "worker"
    return _node(None, ref, kind, "running" if ref.is_alive() else "stopped", timeout=timeout)


def format_tree(ref: ActorRef[Any], *, timeout: float = 1.0) -> str:
    """The tree under `ref` as text, a line an actor."""
    return format_node(tree(ref, timeout=timeout))


def format_node(node: TreeNode) -> str:
    """A tree that `tree` gave, as text."""
    return "\n".join([_label(node), *_lines(node["children"])])


def _node(
    child_id: str | None,
    ref: ActorRef[Any] | None,
    kind: str,
    state: str,
    *,
    restarts: int = 0,
    timeout: float,
) -> TreeNode:
    node = TreeNode(
        id=child_id,
        name=None if ref is None else ref.name,
        type=kind,
        state=state,
        restarts=restarts,
        mailbox=0 if ref is None else ref.mailbox_stats().size,
        children=[],
    )
    if isinstance(ref, ParentRef) and state == "running":
        described = _describe(ref, timeout)
        if described is None:
            node["state"] = UNANSWERED if ref.is_alive() else "stopped"
        for info, count in described or ():
            node["children"].append(
                _node(str(info.id), info.ref, info.type, info.state, restarts=count, timeout=timeout)
            )
    return node


def _describe(ref: ParentRef, timeout: float) -> list[tuple[ChildInfo, int]] | None:
    try:
        return ref.describe(timeout=timeout)
    except ActorError:
        return None


def _lines(nodes: list[TreeNode], indent: str = "") -> list[str]:
    lines = []
    for position, node in enumerate(nodes, start=1):
        last = position == len(nodes)
        lines.append(f"{indent}{'└── ' if last else '├── '}{_label(node)}")
        lines.extend(_lines(node["children"], indent + ("    " if last else "│   ")))
    return lines


def _label(node: TreeNode) -> str:
    title = node["id"] or node["name"] or ""
    facts = [node["type"], node["state"]]
    if node["restarts"]:
        facts.append(f"restarts {node['restarts']}")
    if node["mailbox"]:
        facts.append(f"mailbox {node['mailbox']}")
    return f"{title} ({', '.join(facts)})"
