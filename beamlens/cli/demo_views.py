"""How the demo shows what happens: as plain lines, as JSON, and what all views share."""

from __future__ import annotations

import json
import linecache
import logging
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


def excerpt(place: Place, around: int = 2) -> list[str]:
    """The lines around a place, the line itself marked."""
    found = []
    for number in range(max(1, place.line - around), place.line + around + 1):
        line = linecache.getline(place.file, number)
        if line:
            found.append(f"{'>' if number == place.line else ' '} {number:4} {safe(line.rstrip())}")
    return found


def source(place: Place) -> str:
    """The text of the place's file with its control characters escaped; line numbers stay."""
    return "\n".join(safe(line.rstrip("\n").expandtabs(4)) for line in linecache.getlines(place.file))
