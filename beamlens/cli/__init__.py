"""The command line: `beamlens`, also as `python -m beamlens`."""

from __future__ import annotations

from typing import Any

import click

from beamlens.cli.ask import ask
from beamlens.cli.demo import demo
from beamlens.cli.interrupt import interrupt
from beamlens.cli.program import Interrupted
from beamlens.cli.ps import ps
from beamlens.cli.replay import replay
from beamlens.cli.report import report
from beamlens.cli.run import run
from beamlens.cli.status import status
from beamlens.cli.top import top
from beamlens.cli.tree import tree
from beamlens.cli.version import version


class _Commands(click.Group):
    """Lets the interpreter see that Ctrl-C ended a watched program."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line, as `click.Group.main`."""
        try:
            return super().main(*args, **extra)
        except Interrupted:
            # It was shown. Python now does all that is to be done at its end, and then ends by the signal.
            interrupt()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Find out why a Python service misbehaves, from inside the process, while it happens."""


for command in (ask, demo, ps, replay, report, run, status, top, tree, version):
    main.add_command(command)

__all__ = ["main"]
