"""Parts on a screen: what was found first, and as much of the rest as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STATE_STYLES = {"healthy": "green", "observing": "cyan", "warning": "yellow", "critical": "red"}
_LONGEST_TEXT = 300
_LEAST_FOUND = 5
_LEAST_PANEL = 5


def arrange(
    console: Console, top: RenderableType, found: Sequence[tuple[str, str]], tree: Sequence[str], log: Sequence[str]
) -> RenderableType:
    """Put the parts on the screen so that what was found is always seen: tree and log get the rows that remain.

    Args:
        console: The screen.
        top: Always shown.
        found: Alerts and insights with their styles, oldest first; the latest ones that fit are shown.
        tree: Lines of the supervision tree.
        log: Lines of the shop's log.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = [top]
    rows = console.size.height - 1 - _rows(console, top)
    wanted = len(tree) + 2
    latest = _latest(console, found, max(_LEAST_FOUND, rows - wanted) - 2)
    parts.append(Panel(latest, title="found"))
    rows -= _rows(console, parts[-1])
    if rows >= _LEAST_PANEL:
        shown = list(tree) if wanted <= rows else [*tree[: rows - 3], "..."]
        parts.append(Panel(Text("\n".join(shown), no_wrap=True, overflow="ellipsis"), title="supervision tree"))
        rows -= len(shown) + 2
    if rows >= _LEAST_PANEL and log:
        text = Text("\n".join(log[-(rows - 2) :]), style="dim", no_wrap=True, overflow="ellipsis")
        parts.append(Panel(text, title="the shop's log"))
    return Group(*parts)


def _latest(console: Console, found: Sequence[tuple[str, str]], rows: int) -> RenderableType:
    """The latest entries that fit into the rows; of the last one alone, as much as fits."""
    from rich.text import Text

    shown = Text()
    inside = console.options.update(width=max(1, console.size.width - 4))
    for text, style in reversed(found):
        entry = Text(text[:_LONGEST_TEXT] + ("..." if len(text) > _LONGEST_TEXT else ""), style=style)
        more = Text("\n").join([entry, shown]) if shown else entry
        if shown and len(console.render_lines(more, inside)) > rows:
            break
        shown = more
    return shown or Text("nothing yet", style="dim")


def _rows(console: Console, part: RenderableType) -> int:
    return len(console.render_lines(part, console.options.update(height=None)))
