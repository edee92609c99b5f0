"""Beamlens, on either backend, with all it always does: bounds, reasons, monitors, links."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import beamlens_actors
from beamlens_actors.backends import get_backend
from benchmarks.actors.measures import MissingError
from benchmarks.actors.pykka_style import Parent, PykkaStyle, Ref, Role, Starter, Victim

_ROOM = 10_000_000


class _Parent(Parent):
    me: Ref

    def on_receive(self, message: Any) -> Any:
        self.me = message
        self._next()

    def on_down(self, _down: beamlens_actors.Down) -> None:
        self._next()

    def _next(self) -> None:
        victim = self.start_victim(self.me)
        self.monitor(victim)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.victims.put(victim)


class BeamlensKit:
    """See `Kit`. Default options, but for the room of a mailbox that is flooded on purpose."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def starter(self, role: type[Role]) -> Starter:
        """See `Kit.starter`."""
        actor_class: Any = type(role.__name__, (role, beamlens_actors.Actor), {})
        room = {"capacity": _ROOM} if role.flooded else {}
        start: Starter = actor_class.options(backend=self._backend, **room).start
        return start

    def restart_roles(self) -> tuple[type[Parent], type[Victim]]:
        """See `Kit.restart_roles`: a monitor tells the parent."""
        return _Parent, Victim


def connect(kind: str) -> PykkaStyle:
    """The peer on the backend `kind`.

    Raises:
        MissingError: there is no such backend.
    """
    return PykkaStyle(BeamlensKit(kind), check_backend(kind))


def check_backend(kind: str) -> str:
    """The version of Beamlens, which has this backend.

    Raises:
        MissingError: it has not.
    """
    try:
        get_backend(kind)
    except (beamlens_actors.UnknownBackend, beamlens_actors.BackendUnavailable) as error:
        raise MissingError(str(error)) from error
    try:
        return version("beamlens")
    except PackageNotFoundError:
        return "from source"
