"""Waiters: one consumer each, parked on a thread or in an asyncio task, woken once by any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens_actors import clock, context

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable


class Waiter:
    """One wait.

    Attributes:
        wake: ends it, without blocking; False when there is nobody to wake any more.
        promised: whether it was woken for something that is kept for it.
    """

    __slots__ = ("promised", "wake")

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.promised = False


def thread_waiter() -> tuple[Waiter, clock.Token]:
    """A waiter, and the token on which the caller then waits with `clock.acquire`."""
    token = context.make_token()

    def wake() -> bool:
        clock.release(token)
        return True

    return Waiter(wake), token


def async_waiter() -> tuple[Waiter, asyncio.Event]:
    """A waiter for the running asyncio task, and the event it then awaits."""
    import asyncio

    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> bool:
        try:
            loop.call_soon_threadsafe(woken.set)
        except RuntimeError:
            return False  # the event loop was closed while it waited
        return True

    return Waiter(wake), woken


def discard(waiters: deque[Waiter], waiter: Waiter) -> None:
    """Remove `waiter` if it is in there."""
    try:
        waiters.remove(waiter)
    except ValueError:
        pass
