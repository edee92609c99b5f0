"""The command line: `beamlens`, also as `python -m beamlens`."""

from __future__ import annotations

from typing import Any

import click

from beamlens.cli.demo import demo
from beamlens.cli.interrupt import interrupt
from beamlens.cli.program import Interrupted
from beamlens.cli.replay import replay
from beamlens.cli.run import run
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


main.add_command(demo)
main.add_command(replay)
main.add_command(run)
main.add_command(version)

__all__ = ["main"]
