"""`beamlens tree`: the supervision tree of a process."""

from __future__ import annotations

from typing import Any

import click

from beamlens.cli import target
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import lines


@click.command()
@target.options
def tree(*, pid: int | None, name: str | None, as_json: bool) -> None:
    """Show the supervision tree of PID."""
    from beamlens_supervision.tree import format_node

    with target.reached(pid, name) as remote:
        found: Any = remote.tree()
    click.echo(to_json(found) if as_json else format_node(lines(found)))
