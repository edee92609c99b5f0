"""Restarts that are due: later, after a backoff, or behind the messages that wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from beamlens_actors import ActorDead, ActorRef, MailboxFull, Timer, clock

if TYPE_CHECKING:
    from beamlens_supervision.children import Child


@dataclass(eq=False, slots=True)
class Retry:
    """One restart of `child` that is due; a supervisor tells it to itself.

    So a storm of restarts is never a loop: whatever came before is handled first.
    """

    child: Child
    counted: bool
    """Whether the window of restarts knows of it."""
    timer: Timer | None = None


class Retries:
    """The restarts that a supervisor still owes."""

    def __init__(self, ref: ActorRef[Any]) -> None:
        """Tell them to `ref`, the supervisor."""
        self._ref = ref
        self._due: dict[Child, Retry] = {}
        self.untold: deque[Retry] = deque()
        """Those for which the mailbox had no room; to be told again after any message."""

    def add(self, child: Child, delay: float, *, counted: bool) -> None:
        """Have a restart of `child` come up in `delay` seconds, 0: after the messages that wait."""
        retry = self._due[child] = Retry(child, counted)
        if delay > 0:
            retry.timer = clock.call_later(delay, partial(self._tell, retry))
        else:
            self._tell(retry)

    def cancel(self, child: Child) -> None:
        """Forget the restart of `child`, if one is due."""
        retry = self._due.pop(child, None)
        if retry is not None and retry.timer is not None:
            retry.timer.cancel()

    def cancel_all(self) -> None:
        """Forget all."""
        for child in list(self._due):
            self.cancel(child)

    def take(self, retry: Retry) -> bool:
        """Whether `retry`, which came back, is still wanted; it is no longer due then."""
        if self._due.get(retry.child) is not retry:
            return False
        del self._due[retry.child]
        return True

    def tell_untold(self) -> None:
        """A message was handled, so there may be room now."""
        for _ in range(len(self.untold)):
            self._tell(self.untold.popleft())

    def _tell(self, retry: Retry) -> None:
        # Noted first: a full mailbox has messages, and after each of them the supervisor looks here.
        self.untold.append(retry)
        try:
            self._ref.tell(retry)
        except MailboxFull:
            return
        except ActorDead:
            pass
        try:
            self.untold.remove(retry)
        except ValueError:
            pass  # told twice then, which `take` notices
