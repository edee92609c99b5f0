"""`beamlens top`: a process, live."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import click

from beamlens.cli import target
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import line, lines

if TYPE_CHECKING:
    from beamlens.control import RemoteInstance

_LEAVE = frozenset("qQ")
_LATE = 2.0


@click.command()
@target.options
@click.option(
    "--interval", type=click.FloatRange(0.1, 60.0), default=1.0, show_default=True, help="Seconds between two pictures."
)
def top(*, pid: int | None, name: str | None, as_json: bool, interval: float) -> None:
    """Show PID live: health, alerts, insights, cost, the supervision tree. Leave with q or Ctrl-C.

    Where the output is no terminal, one picture as text.
    """
    with target.reached(pid, name) as remote:
        if as_json:
            click.echo(to_json(remote.overview()))
        elif not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
            from beamlens.cli.top_view import plain_lines

            for text in plain_lines(lines(remote.overview())):
                click.echo(text)
        else:
            ended = _show(remote, interval)
            if ended:
                raise click.ClickException(ended)


def _show(remote: RemoteInstance, interval: float) -> str:
    """Until the user leaves, or the process ends; why it ended."""
    from rich.console import Console
    from rich.live import Live

    from beamlens.cli.keys import Keys
    from beamlens.cli.top_view import TopView

    console = Console(markup=False, highlight=False, emoji=False)
    view = TopView(console)
    with Keys() as keys, _ended_in_order(), Watching(remote, interval, keys.ring) as watching:
        with Live(view.render(watching), console=console, screen=True, auto_refresh=False) as live:
            try:
                while not watching.ended and not _LEAVE & set(keys.wait(max(interval, 0.5))):
                    live.update(view.render(watching), refresh=True)
            except (KeyboardInterrupt, EOFError):
                pass
        return watching.ended


class Watching:
    """Asks for one picture after the other on a thread of its own, so that a process that hangs holds up no key."""

    def __init__(self, remote: RemoteInstance, interval: float, changed: Any) -> None:
        self._remote = remote
        self._interval = interval
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beamlens-top", daemon=True)
        self._asked = time.monotonic()
        self._failure = ""
        self.picture: dict[str, Any] | None = None
        self.ended = ""
        """How the process ended."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()

    @property
    def trouble(self) -> str:
        """Why the last picture is old; ``""``: it is not."""
        seconds = time.monotonic() - self._asked
        return self._failure or (f"no answer for {seconds:.0f} s" if seconds >= _LATE + self._interval else "")

    def _run(self) -> None:
        from beamlens.control import ConnectionLost, NotServing
        from beamlens.errors import BeamlensError
        from beamlens_actors import ActorError

        while not self._stop.is_set():
            self._asked = time.monotonic()
            try:
                self.picture, self._failure = lines(self._remote.overview()), ""
            except (ConnectionLost, NotServing) as error:
                # Both may mean that it hangs: only a process that is gone has ended.
                if not _lives(self._remote.pid) or isinstance(error, NotServing):
                    self.ended = f"process {self._remote.pid} has ended, or stopped being watched"
                    self._changed()
                    return
                self._failure = line(error)
            except (ActorError, BeamlensError) as error:
                self._failure = line(error)
            self._changed()
            self._stop.wait(self._interval)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A terminal is given back as it was when the command is ended by a signal."""

    def leave(*_signal: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
