"""How the demo shows what happens: live on a terminal, as plain lines, as JSON."""

from __future__ import annotations

import json
import linecache
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import click

from beamlens.cli.demo import summary_lines
from beamlens.cli.text import safe

if TYPE_CHECKING:
    from beamlens.demo import DemoResult, Injection
    from beamlens.evidence import Place


class _Collector(logging.Handler):
    """Keeps the last records."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=5)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("shop"):
            self.lines.append(f"{record.levelname:7} {record.name}: {record.getMessage()[:100]}")


class View:
    """What the views share."""

    def __init__(self, injection: Injection | None = None) -> None:
        self.injection = injection
        self.handler: logging.Handler = _Collector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Nothing to clean up."""

    def event(self, name: str, value: Any) -> None:
        """Take an event of `run_demo`."""

    def finish(self, result: DemoResult, *, interrupted: bool) -> None:
        """Show how it ended."""


class JsonView(View):
    """One JSON object a line; the last one is the result."""

    def event(self, name: str, value: Any) -> None:
        """Print alerts and insights as they come."""
        if name in ("alert", "insight"):
            click.echo(json.dumps({"event": name, name: value.model_dump(mode="json")}))
        elif name == "injected":
            click.echo(json.dumps({"event": name, "fault": f"{value.fault.name}/{value.variant.name}"}))

    def finish(self, result: DemoResult, *, interrupted: bool) -> None:
        """Print the result."""
        click.echo(json.dumps({**result.model_dump(mode="json"), "interrupted": interrupted}))


class PlainView(View):
    """A line for each thing that happens."""

    def event(self, name: str, value: Any) -> None:
        """Print it."""
        if name == "started":
            what = "a healthy sample service" if self.injection is None else "a sample service, about to go wrong"
            click.echo(f"watching {what} with: runtime, logger, exception (analyst: {value.model})")
        elif name == "injected":
            click.echo(f"fault injected: {value.fault.name} ({value.fault.description})")
        elif name == "alert":
            click.echo(f"alert [{value.severity}] {value.watcher}/{value.anomaly_type}: {safe(value.summary)}")
        elif name == "insight":
            click.echo(f"insight [{value.confidence} confidence]: {safe(value.summary)}")
        elif name == "state":
            sender, state, reason = value
            click.echo(f"{sender} is {state}: {safe(reason)[:160]}")

    def finish(self, result: DemoResult, *, interrupted: bool) -> None:
        """Print the summary."""
        click.echo("")
        for line in summary_lines(result, interrupted=interrupted):
            click.echo(line)
        if result.cause is not None and result.cause.place is not None:
            for line in excerpt(result.cause.place):
                click.echo(line)


class LiveView(View):
    """The tree, the watchers, the shop's log, alerts as they come, the insight at the end."""

    def __init__(self, injection: Injection | None) -> None:
        super().__init__(injection)
        from rich.console import Console
        from rich.live import Live

        self._lens: Any = None
        self._lines: deque[tuple[str, str]] = deque(maxlen=6)
        self._states: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._fault = "none yet"
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
                self._lines.append((f"alert {value.watcher}/{value.anomaly_type}: {safe(value.summary)}", style))
            elif name == "insight":
                self._lines.append((f"insight [{value.confidence}]: {safe(value.summary)}", "bold green"))
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
            place = result.cause.place
            code = "".join(linecache.getlines(place.file))
            self._console.print(
                Syntax(
                    code,
                    "python",
                    line_numbers=True,
                    line_range=(max(1, place.line - 3), place.line + 3),
                    highlight_lines={place.line},
                )
            )

    def _render(self) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            lens, lines, states = self._lens, list(self._lines), dict(self._states)
        if lens is None or not lens.running:
            return Text("the sample service starts ...")
        table = Table.grid(padding=(0, 2))
        for one in lens.list_watchers():
            state, reason = states.get(one.name, (one.state, ""))
            style = {"healthy": "green", "observing": "cyan", "warning": "yellow", "critical": "red"}[state]
            doing = "looking" if one.running else "waiting, sensors awake"
            table.add_row(
                one.name, Text(state, style=style), doing, Text(reason[:90], overflow="ellipsis", no_wrap=True)
            )
        log = Text("\n".join(safe(line) for line in getattr(self.handler, "lines", ())), style="dim")
        found = Text("\n").join(Text(text[:400], style=style) for text, style in lines)
        return Group(
            Panel(Text(lens.tree()), title="supervision tree"),
            Panel(table, title=f"watchers - fault: {self._fault}"),
            Panel(log, title="the shop's log"),
            Panel(found, title="found"),
        )


def excerpt(place: Place, around: int = 2) -> list[str]:
    """The lines around a place, the line itself marked."""
    found = []
    for number in range(max(1, place.line - around), place.line + around + 1):
        line = linecache.getline(place.file, number)
        if line:
            found.append(f"{'>' if number == place.line else ' '} {number:4} {safe(line.rstrip())}")
    return found
