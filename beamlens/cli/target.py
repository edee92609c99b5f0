"""Which instance is meant: what the commands have in common that ask a process from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.text import safe

if TYPE_CHECKING:
    from beamlens.control import RemoteInstance

_F = Callable[..., Any]


def options(command: _F) -> _F:
    """``PID``, ``--instance`` and ``--json``."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        click.option("--instance", "name", metavar="NAME", help="The instance, where the process has several."),
        click.argument("pid", type=int, required=False),
    ):
        command = decorate(command)
    return command


@contextmanager
def reached(pid: int | None, name: str | None) -> Iterator[RemoteInstance]:
    """The instance; whatever goes wrong with it is one sentence.

    Raises:
        click.UsageError: It cannot be chosen (exit code 2).
        click.ClickException: It was chosen, and does not answer (exit code 1).
    """
    from beamlens.control import connect

    with failures(), connect(pid, name) as remote:
        yield remote


@contextmanager
def failures() -> Iterator[None]:
    """Turn errors into sentences with an exit code."""
    from beamlens.control import Busy, ConnectionLost, ControlError, ProtocolError, RemoteError
    from beamlens.errors import BeamlensError
    from beamlens_actors import ActorError

    try:
        yield
    except (Busy, ConnectionLost, ProtocolError, RemoteError) as error:
        raise click.ClickException(safe(str(error))) from error
    except ControlError as error:
        raise click.UsageError(safe(str(error))) from error
    except (ActorError, BeamlensError, TimeoutError) as error:
        raise click.ClickException(safe(str(error))) from error
