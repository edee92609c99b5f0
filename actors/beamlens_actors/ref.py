"""`ActorRef`: the only way to reach an actor."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pykka

from beamlens_actors import context, monitor
from beamlens_actors.errors import ActorDead, AskTimeout, MailboxClosed, MailboxFull, StopTimeout
from beamlens_actors.future import Future
from beamlens_actors.reasons import ExitReason, Normal, check_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.actor import Actor
    from beamlens_actors.cell import Cell
    from beamlens_actors.mailbox import MailboxStats
    from beamlens_actors.messages import Envelope

A = TypeVar("A", bound="Actor")

_NORMAL = Normal()


class StoppedFlag:
    """Pykka's `actor_stopped`, without a `threading.Event` for each actor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the actor has ended."""
        return self._cell.reason is not None

    def set(self) -> None:
        """Make it stop after the message it handles."""
        self._cell.signal("stop", _NORMAL)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when `timeout` seconds passed first."""
        try:
            self._cell.ended.get(timeout=timeout)
        except AskTimeout:
            return False
        return True


class ActorRef(pykka.ActorRef[A]):
    """Reference to an actor. Safe to pass around; it outlives the actor and is compared by identity."""

    def __init__(self, actor: A, cell: Cell) -> None:
        # Pykka's constructor copies what are properties here.
        self.actor_class = type(actor)
        self._actor_weakref = weakref.ref(actor)
        self._cell = cell
        self._put: Callable[[Envelope, Any], Envelope | None] = cell.mailbox.put
        self._waker = cell.waker
        self._lane = cell.lane

    def __repr__(self) -> str:
        return f"<ActorRef for {self}>"

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} {self._cell.name!r}"

    @property
    def name(self) -> str:
        """For display and logs, and the name of the actor's thread. Not unique unless made so."""
        return self._cell.name

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """See `pykka.Actor.actor_urn`."""
        return self._cell.urn

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """The mailbox."""
        return self._cell.mailbox

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        """See `pykka.Actor.actor_stopped`."""
        return StoppedFlag(self._cell)

    def is_alive(self) -> bool:
        """False once it has ended, `on_terminate` included; then nothing of it runs any more.

        The exception is an actor that was killed while busy: it is dead at once, and its thread is abandoned.
        """
        return self._cell.reason is None

    def tell(self, message: Any) -> None:
        """Send `message` without waiting for an answer.

        Raises:
            ActorDead: the actor has ended.
            MailboxFull: its mailbox is at its capacity and its overflow policy refuses (`reject`, `block`).
        """
        envelope = message, None
        lane = self._lane
        # QueueMailbox.put, written out: the call would take as long again.
        for _permit in lane.permits:
            lane.queue.append(envelope)
            waker = self._waker
            if waker.sleeping:
                waker.wake()
            if lane.closed and lane.holds(envelope):
                raise self._cell.dead()
            return
        try:
            dropped = self._put(envelope, self._waker)
        except MailboxClosed:
            raise self._cell.dead() from None
        if dropped is not None:
            self._fail_dropped(dropped)

    def _fail_dropped(self, dropped: Envelope) -> None:
        if dropped[1] is not None:
            dropped[1].fail(MailboxFull(f"the mailbox of {self.name} was full and dropped this question"))

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True] = True, timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | Future[Any]: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride] - its own overloads say Any twice
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any | Future[Any]:
        """Send `message` and wait `timeout` seconds (`None`: for ever) for the answer.

        With `block=False` return a future at once; every error below then comes from its `get`.

        Raises:
            ActorDead: the actor has ended, or ended with the question still open.
            AskTimeout: no answer in time.
            SelfAsk: the caller is this actor, or is being started by it.
            MailboxFull: the question was not taken, or was dropped.
            ActorCrashed: the handler raised something that is no `Exception`.
            Exception: what the handler raised; it ended the actor, unless it was a `ReplyError`, whose error
            this is.
        """
        cell = self._cell
        if block:
            cell.check_may_wait()
        future: Future[Any] = Future(cell)
        try:
            dropped = self._put((message, future), self._waker)
        except MailboxClosed:
            future.fail(cell.dead())
        except MailboxFull as error:
            future.fail(error)
        else:
            if dropped is not None:
                self._fail_dropped(dropped)
        return future.take(timeout) if block else future

    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """`ask` for asyncio: waits without blocking the event loop, and raises the same errors.

        Cancelling the task drops the answer, not the question.
        """
        return await self.ask(message, block=False).wait_async(timeout)

    @overload
    def stop(self, reason: ExitReason = ..., *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...

    @overload
    def stop(
        self, reason: ExitReason = ..., *, block: Literal[False], timeout: float | None = None
    ) -> Future[bool]: ...

    @overload
    def stop(
        self, reason: ExitReason = ..., *, block: bool = True, timeout: float | None = None
    ) -> bool | Future[bool]: ...

    def stop(
        self, reason: ExitReason = _NORMAL, *, block: bool = True, timeout: float | None = None
    ) -> bool | Future[bool]:
        """Ask it to end with `reason` after the message it handles now, before those that wait; they fail.

        Returns:
            True, or False when it was dead already; with `block=False` a future of that.

        Raises:
            StopTimeout: it runs on after `timeout` seconds (the request stands).
            SelfAsk: an actor stops itself and waits for it; use `self.stop()`.
        """
        cell = self._cell
        check_reason(reason)
        alive = cell.reason is None
        if alive:
            if block:
                cell.check_may_wait()
            cell.signal("stop", reason)
        if block:
            if alive:
                self.join(timeout)
            return alive
        result: Future[bool] = Future(cell)

        def ended() -> None:
            result.resolve(alive)

        if not alive or not cell.ended.add_done_callback(ended):
            ended()
        return result

    def exit(self, reason: ExitReason) -> None:
        """Send it the exit signal `reason`, as in OTP.

        `Normal()` is ignored unless it comes from the actor itself; a trapping actor gets `on_exit` instead
        of ending.
        """
        self._cell.signal("exit", check_reason(reason), context.current_actor())

    def kill(self) -> bool:
        """End it with `Killed()` without asking; False when it was dead already.

        An idle one runs `on_terminate` and ends. A thread that is busy cannot be ended: the actor is dead at
        once (monitors told, open and waiting questions failed, its late answer dropped) and the thread is
        abandoned; should it ever come back, it runs `on_terminate` and ends. See `abandoned`.
        """
        return self._cell.kill()

    def join(self, timeout: float | None = None) -> ExitReason:
        """Wait for its end and return the reason.

        Raises:
            StopTimeout: it runs on after `timeout` seconds.
            SelfAsk: an actor waits for its own end.
        """
        cell = self._cell
        if not cell.finished:
            cell.check_may_wait()
            try:
                cell.ended.get(timeout=timeout)
            except AskTimeout:
                raise StopTimeout(f"{self} did not end within {timeout} s") from None
            except ActorDead:
                pass  # lost in a fork
        cell.backend.settle(cell)
        return cell.reason or _NORMAL

    def mailbox_stats(self) -> MailboxStats:
        """Its mailbox's numbers; see `MailboxStats`."""
        return self._cell.mailbox.stats()

    def add_exit_callback(self, fn: Callable[[ActorRef[Any], ExitReason], object]) -> Callable[[], None]:
        """Call `fn(ref, reason)` once when it has ended; at once, here, when it has already.

        It runs on the thread on which the actor ended (its own, or the killer's), so it must be short; what
        it raises is logged.

        Returns:
            a function that takes the callback back.
        """
        cell, key = self._cell, object()
        if not cell.bonds.add_callback(key, fn):
            fn(self, cell.reason or _NORMAL)
        return lambda: cell.bonds.remove_callback(key)

    def link(self, other: ActorRef[Any]) -> None:
        """Link this actor to `other` from outside; see `Actor.link`."""
        monitor.link(self, other)

    def unlink(self, other: ActorRef[Any]) -> None:
        """Undo `link`."""
        monitor.unlink(self, other)
