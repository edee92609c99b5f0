"""The command line: `beamlens`, also as `python -m beamlens`."""

from __future__ import annotations

import click

from beamlens.cli.demo import demo
from beamlens.cli.run import run
from beamlens.cli.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Find out why a Python service misbehaves, from inside the process, while it happens."""


main.add_command(demo)
main.add_command(run)
main.add_command(version)

__all__ = ["main"]
