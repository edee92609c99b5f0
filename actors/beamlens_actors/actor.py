# ruff: noqa: SLF001 - cell, ref and actor are one thing in three parts
"""`Actor`: what users subclass, and how one is started."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import pykka

from beamlens_actors import context, pykka_registry, timers
from beamlens_actors import monitor as monitors
from beamlens_actors.backends import get_backend
from beamlens_actors.cell import Cell
from beamlens_actors.errors import InvalidOption
from beamlens_actors.future import Future
from beamlens_actors.mailbox import DEFAULT_CAPACITY, Mailbox, Overflow, QueueMailbox
from beamlens_actors.reasons import ExitReason, Normal, check_reason
from beamlens_actors.ref import ActorRef
from beamlens_actors.registry import Registry

if TYPE_CHECKING:
    from beamlens_actors.messages import Down, Exit, Monitor
    from beamlens_actors.timers import Timer

logger = logging.getLogger("beamlens_actors")

A = TypeVar("A", bound="Actor")

DEFAULT_START_TIMEOUT = 30.0

_numbers = itertools.count(1)
_NORMAL = Normal()
_NO_START = pykka.Actor.on_start


class Actor(pykka.Actor):
    """A thing with a mailbox that handles one message at a time, on a thread of its own.

    Subclass it, set up what can fail or takes long in `on_start`, answer in `on_receive`, clean up in
    `on_terminate`. `__init__` runs in the thread that calls `start`, every hook in the actor. An exception in
    a handler ends the actor; whoever asked gets it too.
    """

    trap_exit: bool = False
    """Whether exit signals are handed to `on_exit` instead of ending the actor."""

    _beamlens_cell: Cell
    _beamlens_ref_class: ClassVar[type[ActorRef[Any]]] = ActorRef

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start an actor with the default options; see `options` and `Launcher.start`."""
        return Launcher(cls, _DEFAULTS).start(*args, **kwargs)

    @classmethod
    def options(
        cls,
        *,
        backend: str | None = None,
        name: str | None = None,
        mailbox: Mailbox | None = None,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = "reject",
        block_timeout: float = 5.0,
        start_timeout: float | None = DEFAULT_START_TIMEOUT,
        register: tuple[Registry, Any] | None = None,
    ) -> Launcher[Self]:
        """How to start: `Worker.options(name="w").start(1)`.

        Args:
            backend: what it runs on; by default that of the calling actor, else the process default.
            name: for display, logs and the thread; by default the class's name and a number.
            mailbox: an own `Mailbox`, which may outlive the actor; then `capacity`, `overflow` and
            `block_timeout`
                are its own affair.
            capacity: most messages that wait; see `QueueMailbox`, also for `overflow` and `block_timeout`.
            overflow: what happens to one more.
            block_timeout: seconds a sender waits for room when `overflow` is `block`.
            start_timeout: seconds for `on_start`; `None` waits for ever.
            register: `(registry, key)`, registered before `start` returns and before `on_start` runs.

        Raises:
            InvalidOption: a value that cannot be.
        """
        if mailbox is None:
            QueueMailbox(capacity, overflow, block_timeout)  # refuses bad values here rather than at start
        _check_start_timeout(start_timeout)
        _check_register(register)
        if backend is not None:
            get_backend(backend)
        chosen = Options(backend, name, mailbox, capacity, overflow, block_timeout, start_timeout, register)
        return Launcher(cls, chosen)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Must be called by subclasses. Does less than Pykka's: what it makes is made by `start`."""

    # -- for the actor itself --------------------------------------------------------------------------------

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The ref of this actor."""
        return self._actor_ref  # type: ignore[return-value]

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """See `pykka.Actor.actor_urn`."""
        return self._beamlens_cell.urn

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """The mailbox."""
        return self._beamlens_cell.mailbox

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        """See `pykka.Actor.actor_stopped`."""
        return self.actor_ref.actor_stopped

    def stop(self, reason: ExitReason = _NORMAL) -> None:
        """End after the current message with `reason`; messages that wait are not handled, and fail."""
        self._beamlens_cell.signal("stop", check_reason(reason))

    def monitor(self, ref: ActorRef[Any]) -> Monitor:
        """Have `on_down` called once when `ref` has ended.

        At once, with `NoProcess()`, when it has already.
        """
        return monitors.monitor(self.actor_ref, ref)

    def demonitor(self, handle: Monitor) -> None:
        """Undo `monitor`: after this its `on_down` is not called, even if the other ended before."""
        monitors.demonitor(self.actor_ref, handle)

    def link(self, ref: ActorRef[Any]) -> None:
        """Tie both ends.

        When one ends, the other gets the reason as an exit signal (`NoProcess()` when dead already).

        An exit signal ends its receiver with that reason, except `Normal()`, and except for one that traps
        exits.
        """
        monitors.link(self.actor_ref, ref)

    def unlink(self, ref: ActorRef[Any]) -> None:
        """Undo `link`."""
        monitors.unlink(self.actor_ref, ref)

    def send_after(self, delay: float, message: Any) -> Timer:
        """Tell this actor `message` in `delay` seconds; see `beamlens_actors.send_after`."""
        return timers.send_after(delay, self.actor_ref, message)

    # -- hooks -----------------------------------------------------------------------------------------------

    def on_down(self, down: Down) -> None:
        """A monitored actor ended, its `on_terminate` included. In the actor; raising ends it."""

    def on_exit(self, exit: Exit) -> None:  # noqa: A002
        """With `trap_exit`.

        An exit signal came, from a link or `ActorRef.exit`. In the actor; raising ends it.
        """

    def on_terminate(self, reason: ExitReason) -> None:
        """The last thing an actor does, exactly once, however it ends, also when `on_start` failed.

        In the actor, after `on_stop` or `on_failure`. What it raises is logged. Monitors are told afterwards,
        except of an actor that was killed while busy: they are told at once, and this runs if its thread ever
        comes back.
        """

    # -- for Pykka -------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        cell = self.__dict__.get("_beamlens_cell")
        return type(self).__name__ if cell is None else f"{type(self).__name__} {cell.name!r}"

    def _stop(self) -> None:
        self.stop()

    @staticmethod
    def _create_actor_inbox() -> Any:
        return QueueMailbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        self._beamlens_cell.backend.start(self._beamlens_cell)


def _check_start_timeout(seconds: object) -> None:
    if seconds is None:
        return
    if not isinstance(seconds, (int, float)):
        raise InvalidOption(f"start_timeout must be a number of seconds or None, not {seconds!r}")
    if not seconds >= 0:
        raise InvalidOption(f"start_timeout must not be negative, but is {seconds!r}")


def _check_register(register: object) -> None:
    match register:
        case None | (Registry(), _):
            return
    raise InvalidOption(f"register must be a pair of a Registry and a key, not {register!r}")


@dataclass(frozen=True, slots=True)
class Options:
    """The start options; see `Actor.options`."""

    backend: str | None = None
    name: str | None = None
    mailbox: Mailbox | None = None
    capacity: int = DEFAULT_CAPACITY
    overflow: Overflow = "reject"
    block_timeout: float = 5.0
    start_timeout: float | None = DEFAULT_START_TIMEOUT
    register: tuple[Registry, Any] | None = None


_DEFAULTS = Options()


class Launcher(Generic[A]):
    """An actor class with its start options, made by `Actor.options`."""

    __slots__ = ("_actor_class", "_options")

    def __init__(self, actor_class: type[A], options: Options) -> None:
        self._actor_class = actor_class
        self._options = options

    def start(self, *args: Any, **kwargs: Any) -> ActorRef[A]:
        """Make the actor and wait until its `on_start` has ended.

        The arguments go to `__init__`, which runs here; `on_start` runs in the actor.

        Raises:
            StartTimeout: `on_start` takes too long; the actor was killed.
            AlreadyRegistered: the key of `register` is taken.
            MailboxInUse: the mailbox belongs to a living actor.
            ActorLimit: too many thread actors.
            ActorDead: it was killed before `on_start` ended.
            Exception: what `__init__` or `on_start` raised. In every case nothing is left behind.
        """
        options = self._options
        cell = self._make_cell()
        actor = self._make_actor(cell, args, kwargs)
        ref = actor.actor_ref
        try:
            cell.bind_mailbox()
        except BaseException:
            cell.never_bound()
            raise
        try:
            # Only now, so that it can already use the ref and give it to others, as with Pykka.
            cell.maker = context.who()
            try:
                actor.__init__(*args, **kwargs)  # type: ignore[misc]
            finally:
                cell.maker = None
            if options.register is not None:
                registry, key = options.register
                registry.register(key, ref)
            pykka_registry.add(ref)
            if cell.reason is not None:  # killed meanwhile, by who got to know it in __init__
                raise cell.dead()  # noqa: TRY301 - to clean up as for any other failure
            if self._actor_class.on_start is _NO_START:
                cell.skip_start()
            actor._start_actor_loop()
        except BaseException:
            cell.never_started()
            raise
        cell.wait_started(options.start_timeout)
        return ref

    def _make_cell(self) -> Cell:
        options = self._options
        mailbox = options.mailbox
        if mailbox is None:
            mailbox = QueueMailbox(options.capacity, options.overflow, options.block_timeout)
        name = options.name
        if name is None:
            name = f"{self._actor_class.__name__}-{next(_numbers)}"
        return Cell(name, get_backend(options.backend), mailbox)

    def _make_actor(self, cell: Cell, args: tuple[Any, ...], kwargs: dict[str, Any]) -> A:
        actor: A = self._actor_class.__new__(self._actor_class, *args, **kwargs)
        cell.actor = actor
        cell.ref = self._actor_class._beamlens_ref_class(actor, cell)
        actor._beamlens_cell = cell
        actor._actor_ref = cell.ref
        return actor
