"""What `beamlens top` shows; every text that it is given is escaped already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beamlens.cli.layout import STATE_STYLES, arrange
from beamlens.cli.status import doing, heading, status_lines
from beamlens.cli.text import dollars

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from beamlens.cli.top import Watching

_SEVERITY_STYLES = {"critical": "red", "warning": "yellow"}


class TopView:
    """Draws pictures."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def render(self, watching: Watching) -> RenderableType:
        """The picture now."""
        from rich.text import Text

        picture = watching.picture
        if picture is None:
            return Text(watching.trouble or "asking ...")
        top = self._panel(picture, watching.trouble)
        return arrange(self._console, top, found(picture), _tree(picture), ())

    def _panel(self, picture: Mapping[str, Any], trouble: str) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for one in picture["status"]["watchers"]:
            doings = Text(doing(one), overflow="ellipsis", no_wrap=True)
            table.add_row(Text(one["name"]), Text(one["state"], style=STATE_STYLES.get(one["state"], "")), doings)
        rows: list[RenderableType] = [
            *(Text(text, overflow="ellipsis", no_wrap=True) for text in heading(picture["facts"])),
            table,
            Text(cost_line(picture), style="dim", overflow="ellipsis", no_wrap=True),
        ]
        if trouble:
            rows.append(Text(f"old: {trouble}", style="bold red", overflow="ellipsis", no_wrap=True))
        return Panel(Group(*rows), title=Text("beamlens top - q leaves"))


def found(picture: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Alerts and insights with their styles, oldest first."""
    entries = [
        (one["detected_at"], f"alert {one['watcher']}/{one['anomaly_type']}: {one['observation']}", one["severity"])
        for one in picture["alerts"]
    ]
    entries += [
        (one["created_at"], f"insight [{one['confidence']}]: {one['summary']}", "insight")
        for one in picture["insights"]
    ]
    styles = {**_SEVERITY_STYLES, "insight": "bold green"}
    return [(text, styles.get(kind, "")) for _at, text, kind in sorted(entries)]


def cost_line(picture: Mapping[str, Any]) -> str:
    """What models were asked, and what it cost."""
    usage = picture["usage"]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    parts = [
        f"model calls {usage['calls']}",
        f"failed {usage['failed']}",
        f"tokens {tokens}",
        dollars(usage["cost_usd"]),
    ]
    inbox = picture["status"]["inbox"]
    parts.append("alerts " + " ".join(f"{what} {count}" for what, count in inbox.items()))
    return "   ".join(parts)


def plain_lines(picture: Mapping[str, Any]) -> list[str]:
    """One picture as text."""
    return [
        *status_lines({**picture["status"], "facts": picture["facts"]}),
        cost_line(picture),
        "found:",
        *(f"  {text}" for text, _style in found(picture)),
        *(() if picture["alerts"] or picture["insights"] else ("  nothing yet",)),
        "supervision tree:",
        *(f"  {text}" for text in _tree(picture)),
    ]


def _tree(picture: Mapping[str, Any]) -> list[str]:
    from beamlens_supervision.tree import format_node

    node: Any = picture["tree"]
    return format_node(node).splitlines()
