"""The demo on a terminal: what matters first, and as much of the rest as there is room for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from beamlens.cli.demo import summary_lines
from beamlens.cli.demo_views import View, source
from beamlens.cli.layout import STATE_STYLES, arrange
from beamlens.cli.text import safe
from beamlens.probes import process
from beamlens_actors import clock

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel

    from beamlens.demo import DemoResult, Injection


class LiveView(View):
    """Watchers and numbers, alerts as they come, the supervision tree, the shop's log; the insight at the end."""

    def __init__(self, injection: Injection | None) -> None:
        super().__init__(injection)
        from rich.console import Console
        from rich.live import Live

        self._lens: Any = None
        self._found: deque[tuple[str, str]] = deque(maxlen=20)
        self._states: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._fault = "none yet" if injection is not None else "none"
        self._numbers = Numbers()
        self._top: RenderableType | None = None
        self._tree: list[str] = []
        self._console = Console()
        # Last: it renders at once.
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._live.stop()

    def event(self, name: str, value: Any) -> None:
        """Remember it for the next picture."""
        with self._lock:
            if name == "started":
                self._lens = value
            elif name == "injected":
                self._fault = f"{value.fault.name}: {value.fault.description}"
            elif name == "alert":
                style = "red" if value.severity == "critical" else "yellow"
                self._found.append((f"alert {value.watcher}/{value.anomaly_type}: {safe(value.summary)}", style))
            elif name == "insight":
                self._found.append((f"insight [{value.confidence}]: {safe(value.summary)}", "bold green"))
            elif name == "state":
                sender, state, reason = value
                self._states[sender] = (state, safe(reason))

    def finish(self, result: DemoResult, *, interrupted: bool) -> None:
        """Show the insight and the line in the code."""
        from rich.panel import Panel
        from rich.syntax import Syntax
        from rich.text import Text

        self._live.stop()
        text = Text("\n".join(summary_lines(result, interrupted=interrupted)))
        self._console.print(Panel(text, title="Beamlens", border_style="green" if result.cause else "cyan"))
        if result.cause is not None and result.cause.place is not None:
            line = result.cause.place.line
            self._console.print(
                Syntax(
                    source(result.cause.place),
                    "python",
                    line_numbers=True,
                    line_range=(max(1, line - 3), line + 3),
                    highlight_lines={line},
                )
            )

    def _render(self) -> RenderableType:
        """The picture now; at the end it stays on the screen, with all that was found."""
        with self._lock:
            lens, found, states = self._lens, list(self._found), dict(self._states)
        if lens is not None and lens.running:
            try:
                watchers, tree = lens.list_watchers(), lens.tree()
            except Exception:  # noqa: BLE001 - it may end while it is being drawn
                watchers, tree = (), ""
            if watchers and tree:
                self._top, self._tree = self._watchers_panel(watchers, states), tree.splitlines()
        if self._top is None:
            return "the sample service starts ..."
        log = [safe(line) for line in getattr(self.handler, "lines", ())]
        return arrange(self._console, self._top, found, self._tree, log)

    def _watchers_panel(self, watchers: Sequence[Any], states: dict[str, tuple[str, str]]) -> Panel:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for one in watchers:
            state, reason = states.get(one.name, (one.state, ""))
            doing = "looking" if one.running else "waiting, sensors awake"
            table.add_row(
                one.name,
                Text(state, style=STATE_STYLES.get(state, "")),
                doing,
                Text(reason, overflow="ellipsis", no_wrap=True),
            )
        numbers = Text(self._numbers.line(), style="dim", overflow="ellipsis", no_wrap=True)
        return Panel(Group(table, numbers), title=f"watchers - fault: {self._fault}")


class Numbers:
    """The process's own numbers as a line, read once a second."""

    def __init__(self) -> None:
        self._line = ""
        self._read_at = float("-inf")
        self._cpu_seconds = 0.0

    def line(self) -> str:
        """Memory, threads, descriptors and, from the second reading on, CPU."""
        now = clock.monotonic()
        if now < self._read_at + 1.0:
            return self._line
        try:
            numbers = process.read()
        except OSError:  # no descriptor is left to read them with: the last ones stay
            return self._line
        parts = [f"memory {numbers.rss / 2**20:.0f} MB", f"threads {numbers.threads}"]
        if numbers.descriptors is not None:
            parts.append(f"descriptors {numbers.descriptors}")
        if self._line:
            share = (numbers.cpu_seconds - self._cpu_seconds) / (now - self._read_at)
            parts.append(f"cpu {share:.0%} of a core")
        self._read_at, self._cpu_seconds = now, numbers.cpu_seconds
        self._line = "   ".join(parts)
        return self._line
