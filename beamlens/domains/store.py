"""What LogStore and ExceptionStore share: an actor that owns what is installed in the host."""

from __future__ import annotations

from typing import Protocol

from beamlens_actors import Actor, Crash, ExitReason, Killed


class Recorder(Protocol):
    """What records: it outlives its store, so that nothing is lost while that is restarted."""

    def install(self) -> None:
        """Begin to record; installed already: nothing changes."""
        ...

    def uninstall(self) -> None:
        """Stop recording and put everything back."""
        ...


class Store(Actor):
    """Installs a recorder at its start and takes it out at an orderly end.

    After a crash or a kill the recorder stays, records on, and the restarted store takes it over.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def on_start(self) -> None:
        """Install."""
        self._recorder.install()

    def on_terminate(self, reason: ExitReason) -> None:
        """Take out, unless a restart follows."""
        if not isinstance(reason, Crash | Killed):
            self._recorder.uninstall()
