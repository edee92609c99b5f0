"""`beamlens report`: what was found in a process, and what is closest to a limit."""

from __future__ import annotations

import click

from beamlens.cli import target
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import lines


@click.command()
@target.options
def report(*, pid: int | None, name: str | None, as_json: bool) -> None:
    """Show what was looked at in PID, what was found, and what is closest to a limit."""
    from beamlens.application.report import report_lines

    with target.reached(pid, name) as remote:
        found = remote.report()
    click.echo(to_json(found) if as_json else "\n".join(report_lines(lines(found))))
