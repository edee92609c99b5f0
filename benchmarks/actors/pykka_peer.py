"""Pykka as shipped."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pykka

from benchmarks.actors.pykka_style import Parent, PykkaStyle, Role, Starter, Victim


class _Victim(Victim):
    def on_failure(self, *_error: Any) -> None:
        if self.parent is not None:
            self.parent.tell(self.parent)


class PykkaKit:
    """See `Kit`. Daemon threads, as an application that ends needs them; all else as shipped."""

    def starter(self, role: type[Role]) -> Starter:
        """See `Kit.starter`."""
        actor_class: Any = type(role.__name__, (role, pykka.ThreadingActor), {"use_daemon_thread": True})
        start: Starter = actor_class.start
        return start

    def restart_roles(self) -> tuple[type[Parent], type[Victim]]:
        """See `Kit.restart_roles`: the failure hook tells the parent."""
        return Parent, _Victim


def connect(_kind: str) -> PykkaStyle:
    """The peer."""
    return PykkaStyle(PykkaKit(), version("pykka"))
