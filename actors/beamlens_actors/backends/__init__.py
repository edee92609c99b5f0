"""What actors run on. A backend is a module-level object found by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from beamlens_actors import context
from beamlens_actors.errors import UnknownBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.cell import Cell
    from beamlens_actors.mailbox import Waker

R = TypeVar("R")


class Backend(Protocol):
    """Who calls a cell's `begin`, `run` and `end`."""

    @property
    def name(self) -> str:
        """As given to `options(backend=...)`."""
        ...

    @property
    def unwinds_with(self) -> type[BaseException] | tuple[()]:
        """What it raises in an actor that was killed while it waited; nothing, where that cannot be done."""
        ...

    def make_waker(self) -> Waker:
        """A new actor's waker.

        Raises:
            BackendUnavailable: this backend does not work here.
        """
        ...

    def start(self, cell: Cell) -> None:
        """Have the actor begin, on its own thread or a greenlet. On an error nothing of it stays."""
        ...

    def release(self, cell: Cell) -> None:
        """It is about to be known as ended: no longer count it."""
        ...

    def settle(self, cell: Cell) -> None:
        """It has ended; wait the moment until its thread or greenlet is gone too, unless it was abandoned."""
        ...

    def abandon(self, cell: Cell) -> None:
        """It was killed while busy; keep it in sight until it ends by itself."""
        ...

    def offload(self, fn: Callable[[], R]) -> R:
        """Run a blocking call so that other actors go on. Called in an actor."""
        ...


BACKENDS = ("threads", "greenlets")
_default = "threads"
# To import a name inside a function costs a tenth of the start of an actor.
_found: dict[str, Backend] = {}


def get_backend(name: str | None = None) -> Backend:
    """The backend called `name`; without one that of the calling actor, else the process default.

    Raises:
        UnknownBackend: naming the choices.
        BackendUnavailable: it does not work here.
    """
    if name is None:
        cell = context.current_cell()
        if cell is not None:
            return cell.backend
        name = _default
    return _found.get(name) or _find(name)


def _find(name: str) -> Backend:
    _check(name)
    if name == "greenlets":
        # The other backend must work where there is no gevent.
        from beamlens_actors.backends.greenlets import get_greenlets

        _found[name] = get_greenlets()
    else:
        from beamlens_actors.backends.threads import THREADS

        _found[name] = THREADS
    return _found[name]


def _check(name: str) -> None:
    if name not in BACKENDS:
        raise UnknownBackend(f"there is no backend {name!r}; choose one of: {', '.join(BACKENDS)}")


def set_default_backend(name: str) -> None:
    """What actors run on that are started outside any actor, from now on.

    Raises:
        UnknownBackend: naming the choices.
        BackendUnavailable: it does not work here.
    """
    global _default
    get_backend(name)
    _default = name


def offload(fn: Callable[..., R], *args: object, **kwargs: object) -> R:
    """Run a blocking call where it stops no other actor: in place on threads and outside actors.

    Returns what `fn` returns and raises what it raises.
    """
    cell = context.current_cell()
    if cell is None:
        return fn(*args, **kwargs)
    return cell.backend.offload(lambda: fn(*args, **kwargs))
