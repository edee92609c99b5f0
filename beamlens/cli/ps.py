"""`beamlens ps`: what can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.target import failures
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import duration, line, lines

if TYPE_CHECKING:
    from beamlens.control import Found

_COLUMNS = ("PID", "INSTANCE", "STATE", "ALERTS", "INSIGHTS", "UP", "COMMAND")
_LONGEST_COMMAND = 100


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and instance.")
def ps(*, as_json: bool) -> None:
    """List the instances of this user that can be asked, in all processes."""
    from beamlens.control import find

    with failures():
        rows = [_facts(one) for one in find()]
    if as_json:
        for row in rows:
            click.echo(to_json(row))
        return
    if not rows:
        click.echo(
            "no process can be asked; start one with Beamlens.start(control=True) or under `beamlens run`", err=True
        )
        return
    table = [_COLUMNS, *(_cells(lines(row)) for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_COLUMNS) - 1)]
    for cells in table:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[-1]]))


def _facts(found: Found) -> dict[str, Any]:
    from beamlens.control import RemoteInstance
    from beamlens.errors import BeamlensError
    from beamlens_actors import ActorError

    if found.connection is None:
        return {"pid": found.pid, "error": str(found.error)}
    try:
        with RemoteInstance(found.connection) as remote:
            return remote.facts()
    except (ActorError, BeamlensError) as error:
        return {"pid": found.pid, "instance": found.name, "error": str(error)}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = row.get("instance", "?")
    if "error" in row:
        return (str(row["pid"]), name, "?", "?", "?", "?", f"({row['error']})")
    command = " ".join(row["command"])
    shown = command if len(command) <= _LONGEST_COMMAND else command[:_LONGEST_COMMAND] + "..."
    if row["forked"]:
        shown += f" (forked from {row['parent']})"
    counts = (str(row["alerts"]), str(row["insights"]))
    return (str(row["pid"]), name, row["state"], *counts, duration(row["uptime"]), line(shown))
