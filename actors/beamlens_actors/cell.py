# ruff: noqa: SLF001, BLE001 - cell, ref and actor are one thing in three parts; any error ends its actor only
"""The life of one actor: what is behind a ref, on every backend.

A backend only decides who calls what: `begin` once, `run` whenever there may be messages, `end` when one of them says
so, all on the actor's own thread or greenlet, never two at a time. Everything else may be called from any thread.
"""

from __future__ import annotations

import enum
import itertools
import logging
import uuid
from typing import TYPE_CHECKING, Any

from pykka import messages as pykka_messages

from beamlens_actors import context, pykka_registry
from beamlens_actors.bonds import Bonds
from beamlens_actors.errors import ActorDead, AskTimeout, ReplyError, SelfAsk, StartTimeout
from beamlens_actors.future import Future
from beamlens_actors.mailbox import NO_LANE, QueueMailbox, direct_lane
from beamlens_actors.messages import Down, Envelope, Exit
from beamlens_actors.reasons import Crash, ExitReason, Killed, Normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from beamlens_actors.actor import Actor
    from beamlens_actors.backends import Backend
    from beamlens_actors.mailbox import Mailbox
    from beamlens_actors.ref import ActorRef

logger = logging.getLogger("beamlens_actors")

_PYKKA_MESSAGES = frozenset(
    {
        pykka_messages.ProxyCall,
        pykka_messages.ProxyGetAttr,
        pykka_messages.ProxySetAttr,
        pykka_messages._ActorStop,
    }
)
_BUSY: Envelope = (None, None)
_STARTED: Future[None] = Future()
_STARTED.resolve(None)

STOP, EXIT, LINK, DOWN, KILL = "stop", "exit", "link", "down", "kill"

UNBOUNDED: Iterable[None] = itertools.repeat(None)
"""No bound on the messages that `Cell.run` handles."""


class Outcome(enum.Enum):
    """What is to be done after `Cell.run`."""

    IDLE = enum.auto()
    """Nothing waits: run it again when its waker was woken."""
    MORE = enum.auto()
    """It handled as many as it was allowed: let others run, then run it again."""
    END = enum.auto()
    """End it."""


class Cell:
    """The control block of one actor. It outlives the `Actor` object; refs hold it."""

    # Large systems have many.
    __slots__ = (
        "__weakref__",
        "_crash",
        "_ended",
        "_ending",
        "_held",
        "_obeyed",
        "_overruled",
        "_system",
        "_terminated",
        "_urn",
        "actor",
        "backend",
        "bonds",
        "current",
        "finished",
        "handle",
        "lane",
        "mailbox",
        "maker",
        "name",
        "reason",
        "ref",
        "started",
        "starter",
        "waker",
    )

    actor: Actor
    """Set before it starts; deleted, like `ref`, when its thread is through, so that no cycle keeps them."""
    ref: ActorRef[Any]

    def __init__(self, name: str, backend: Backend, mailbox: Mailbox) -> None:
        self.name = name
        self.backend = backend
        self.mailbox = mailbox
        self.waker = backend.make_waker()
        self.lane = NO_LANE
        self.starter = context.current_cell()
        """The cell that waits in `start` for this one; `None` once started."""
        self.maker: object = None
        """Who runs `__init__` at the moment, as `context.who` has it."""
        self.reason: ExitReason | None = None
        """Why it ended; `None` while alive."""
        self.started: Future[None] = Future()
        self._ended: Future[None] | None = None
        self.finished = False
        """Whether all who had to be told of the end were."""
        self.current: Envelope | None = _BUSY
        """What is being handled; `None` means idle, so that a kill is obeyed and need not abandon."""
        self.handle: Any = None
        """The backend's own: the thread or greenlet."""
        self._held: Envelope | None = None
        # A list: an empty deque is ten times as large, and this is nearly always empty.
        self._system: list[tuple[str, Any, Any]] = []
        self._ending: ExitReason | None = None
        self._terminated = False
        self._obeyed: object = None
        self._overruled: object = None
        self._crash: tuple[BaseException, Future[Any] | None] | None = None
        self.bonds = Bonds()
        self._urn: str | None = None

    # -- any thread ------------------------------------------------------------------------------------------

    @property
    def urn(self) -> str:
        """Made when first asked for: a UUID costs more than the rest of an actor."""
        if self._urn is None:
            with self.bonds.lock:
                if self._urn is None:
                    self._urn = uuid.uuid4().urn
        return self._urn

    @property
    def ended(self) -> Future[None]:
        """Its end, `on_terminate` included. Made when first asked for."""
        if self._ended is None:
            with self.bonds.lock:
                made: Future[None] = Future()
                # A finaliser, which may run wherever something is made, may have come here meanwhile.
                if self._ended is None:
                    self._ended = made
            # Whoever ends it says that first and looks for this then; here it is the other way round.
            if self.finished:
                self._ended.resolve(None)
        return self._ended

    def dead(self) -> ActorDead:
        """The error for who wants something of this ended actor."""
        return ActorDead(f"{self.name} has ended: {self.reason}", self.reason)

    def bind_mailbox(self) -> None:
        """Become the owner of its mailbox.

        Raises:
            MailboxInUse: another actor is.
        """
        self.mailbox.bind(self.waker)
        self.lane = self.ref._lane = direct_lane(self.mailbox)

    def check_may_wait(self) -> None:
        """Refuse a wait for this actor that cannot end.

        Raises:
            SelfAsk: the calling actor is this one, or is being started by it (at any depth), or its `__init__` calls.
        """
        if self.maker is not None and self.maker == context.who():
            raise SelfAsk(f"{self.name} would wait for itself")
        caller = context.current_cell()
        while caller is not None:
            if caller is self:
                raise SelfAsk(f"{self.name} would wait for itself")
            caller = caller.starter

    def signal(self, kind: str, first: Any = None, second: Any = None) -> None:
        """Put a system message; it is read before all others."""
        if self.reason is None:
            self._system.append((kind, first, second))
            self.waker.wake()

    def kill(self) -> bool:
        """End it without asking; an actor in the middle of something is abandoned. False: dead already."""
        if self.reason is not None:
            return False
        token = object()
        self.signal(KILL, token)
        # The loop marks itself busy before it looks at the system lane: one that is not busy is sure to obey.
        if self.current is not None and self._obeyed is not token:
            self._overruled = token
            self.finish(Killed(), abandoned=True)
        return True

    def came_back(self) -> bool:
        """Whether an actor that was abandoned has read of its kill since, and ends by itself."""
        return self._overruled is not None and self._obeyed is self._overruled

    def down(self, down: Down) -> None:
        """A monitored actor ended."""
        self.signal(DOWN, down)

    def link_ended(self, reason: ExitReason, ref: ActorRef[Any]) -> None:
        """The linked `ref` ended."""
        self.signal(LINK, reason, ref)

    # -- the actor's own thread ------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Run `on_start`; False when it failed or the actor was killed meanwhile, so that `end` is next."""
        if self.started is _STARTED:
            return True
        actor = self.actor
        if self.reason is not None:
            return False
        try:
            actor.on_start()
        except BaseException as error:
            self._ending = Crash(error)
            return False
        self.current = None
        self.starter = None
        self.started.resolve(None)
        return True

    def run(self, budget: Iterable[None] = UNBOUNDED) -> Outcome:  # noqa: C901, PLR0912 - calls would cost most of it
        """Handle messages until none is left, or `budget` is spent.

        When it says that none is left, the waker sleeps, and whoever puts the next message wakes it.
        """
        actor, waker, system, lane = self.actor, self.waker, self._system, self.lane
        get = self.mailbox.get if lane is NO_LANE else None
        # A sender wakes only who says it sleeps. That is said before the last look, so that nothing is missed.
        waker.sleeping = True
        try:
            for _ in budget:
                if system and not self._handle_system(actor):
                    return Outcome.END
                queue = lane.queue
                if queue:
                    # Lane.take, written out: the call would take a fifth of the time of a message.
                    size = len(queue)
                    if size > lane.high_water:  # noqa: PLR1730
                        lane.high_water = size
                    try:
                        envelope = queue.popleft()
                    except IndexError:
                        continue
                    lane.taken += 1
                else:
                    found = None if get is None else get()
                    if found is None:
                        if waker.sleeping:
                            return Outcome.IDLE
                        waker.sleeping = True  # somebody woke it meanwhile: look once more
                        continue
                    envelope = found
                self.current = envelope
                # See kill() for why `current` is set before looking again.
                if system and not self._system_first(actor, envelope):
                    return Outcome.END
                message, future = envelope
                try:
                    if type(message) in _PYKKA_MESSAGES:
                        answer = actor._handle_receive(message)
                    else:
                        # Looked up each time: an actor may put another handler in its place.
                        answer = actor.on_receive(message)
                except ReplyError as refusal:
                    self.current = None
                    self._refuse(refusal, future)
                except BaseException as error:
                    self._crash = (error, future)
                    self._ending = Crash(error)
                    return Outcome.END
                else:
                    self.current = None
                    if future is not None:
                        future.resolve(answer)
        except BaseException as error:
            self._crash = (error, None)
            self._ending = Crash(error)
            return Outcome.END
        return Outcome.MORE

    def _refuse(self, refusal: ReplyError, future: Future[Any] | None) -> None:
        if future is None:
            logger.debug("%s refused a message that was told: %r", self.name, refusal.error)
        else:
            future.fail(refusal.error)

    def _system_first(self, actor: Actor, envelope: Envelope) -> bool:
        """Handle the system messages that have come since `envelope` was taken; False when one ends the actor."""
        while self._system:
            self._held, self.current = envelope, None
            if not self._handle_system(actor):
                return False
            self.current, self._held = envelope, None
        return True

    def _handle_system(self, actor: Actor) -> bool:
        """Handle every system message there is; False when one of them ends the actor."""
        while self._system:
            kind, first, second = self._system.pop(0)
            if kind is KILL:
                self._obeyed = first
            self.current = _BUSY
            try:
                ending = self._system_message(actor, kind, first, second)
            except ReplyError as refusal:
                self._refuse(refusal, None)
                ending = None
            except BaseException as error:
                self._crash = (error, None)
                ending = Crash(error)
            if ending is not None:
                self._ending = ending
                return False
            self.current = None
        return True

    def _system_message(self, actor: Actor, kind: str, first: Any, second: Any) -> ExitReason | None:
        if kind is DOWN:
            if self.bonds.drop_monitored(first.monitor) is not None:
                actor.on_down(first)
            return None
        if kind is LINK:
            # Unlinked since it was sent: as if it had never been.
            return self._exit_signal(actor, first, second) if self.bonds.drop_link(second) else None
        if kind is EXIT:
            return self._exit_signal(actor, first, second)
        return Killed() if kind is KILL else first

    def _exit_signal(self, actor: Actor, reason: ExitReason, sender: ActorRef[Any] | None) -> ExitReason | None:
        if actor.trap_exit:
            actor.on_exit(Exit(sender, reason))
            return None
        if isinstance(reason, Normal) and sender is not self.ref:
            return None
        return reason

    def end(self) -> None:
        """Run the hooks of the end, then tell everybody. Called once, last."""
        self.current = _BUSY
        reason = self.reason or self._ending or Killed()
        if not self._terminated:
            self._terminated = True
            self._run_hooks(self.actor, reason)
        self.finish(reason)
        del self.actor, self.ref

    def _run_hooks(self, actor: Actor, reason: ExitReason) -> None:
        if self._crash is not None and not self._was_unwound(self._crash[0]):
            error = self._crash[0]
            logger.error("%s crashed", self.name, exc_info=error)
            self._hook("on_failure", actor.on_failure, type(error), error, error.__traceback__)
        elif self.started.done() and not isinstance(reason, Killed):
            self._hook("on_stop", actor.on_stop)
        self._hook("on_terminate", actor.on_terminate, reason)

    def _was_unwound(self, error: BaseException) -> bool:
        """Whether this is no crash, but what the backend raised in an actor that was killed while it waited."""
        return isinstance(self.reason, Killed) and isinstance(error, self.backend.unwinds_with)

    def _hook(self, name: str, hook: Callable[..., object], *args: object) -> None:
        try:
            hook(*args)
        except BaseException:
            logger.exception("%s of %s failed", name, self.name)

    # -- the end, on whatever thread it happens --------------------------------------------------------------

    def finish(self, reason: ExitReason, *, abandoned: bool = False) -> None:
        """Make it dead, once.

        Free names, tell monitors, links and callbacks, fail what is open, wake joiners.
        """
        with self.bonds.lock:
            if self.reason is not None:
                return
            # All at once: should this be a kill, the actor's own thread may be through a moment later.
            self.reason = reason
            self.bonds.close()
            current, ref = self.current, self.ref
        left = self._close_mailbox()
        pykka_registry.discard(ref)
        self.bonds.clean_up()
        self.bonds.notify(ref, reason)
        self._fail_open(current, left)
        if abandoned:
            self.backend.abandon(self)
        else:
            self.backend.release(self)
        self.finished = True
        if self._ended is not None:
            self._ended.resolve(None)

    def _close_mailbox(self) -> list[Envelope]:
        try:
            return self.mailbox.close(self.waker)
        except Exception:
            logger.exception("the mailbox of %s failed to close", self.name)
            return []

    def _fail_open(self, current: Envelope | None, left: list[Envelope]) -> None:
        if not self.started.done():
            failed = self._ending
            self.started.fail(failed.exception if isinstance(failed, Crash) else self.dead())
        if self._crash is not None and self._crash[1] is not None:
            self._crash[1].fail(self._crash[0])
        for envelope in (self._held, current, *left):
            if envelope is not None and envelope[1] is not None:
                envelope[1].fail(self.dead())

    def never_started(self) -> None:
        """It could not be made or started: gone, without hooks, leaving nothing behind."""
        self.handle = None
        self.finish(Killed())
        pykka_registry.discard(self.ref)  # killed before, it may have been entered since
        del self.actor, self.ref

    def never_bound(self) -> None:
        """As `never_started`; its mailbox may be another's, and stays as it is."""
        self.mailbox = QueueMailbox(1)
        self.never_started()

    def cease(self) -> None:
        """At the end of the process, when nothing of it runs any more: dead without hooks, and no actor is told."""
        self.bonds.forget()
        self.finish(Killed())

    def lost_in_fork(self) -> None:
        """In a forked child, where its thread does not exist.

        Dead, with nobody told and nothing left waiting.
        """
        self.bonds.fresh_lock()
        self.bonds.close()
        self.reason = self.reason or Killed()
        # Should the forking thread be the actor's own, its loop ends when the handler returns, without hooks.
        self._terminated = True
        self._system.append((KILL, None, None))
        mailbox_lost = getattr(self.mailbox, "lost_in_fork", None)
        if mailbox_lost is not None:
            mailbox_lost()
        left = self.mailbox.close(self.waker)
        for envelope in (self._held, self.current, *left):
            if envelope is not None and envelope[1] is not None:
                envelope[1].lost_in_fork(self.dead())
        self.started.lost_in_fork(self.dead())
        self.finished = True
        if self._ended is not None:
            self._ended.lost_in_fork(self.dead())

    def skip_start(self) -> None:
        """There is no `on_start` to run, and so nothing that its starter could wait for."""
        self.current = self.starter = None
        self.started = _STARTED

    def wait_started(self, timeout: float | None) -> None:
        """Wait for `on_start`.

        Raises:
            StartTimeout: it takes longer than `timeout` seconds; the actor is killed.
            ActorDead: it was killed meanwhile.
            Exception: what `on_start` raised.
        """
        if self.started is _STARTED:
            return
        try:
            self.started.get(timeout=timeout)
            self.started = _STARTED
        except AskTimeout as error:
            if self.started.failed_with(error):
                raise  # on_start itself asked in vain
            self.kill()
            raise StartTimeout(f"on_start of {self.name} took longer than {timeout} s") from None
        except BaseException:
            # The wait itself was ended too, by Ctrl-C or because the starter was killed: nobody else will have a ref.
            self.kill()
            raise
