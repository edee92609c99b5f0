"""The Coordinator's mailbox: a default mailbox plus a lane of alerts that outlives the actor (design D3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from beamlens.coordinator.slots import Slot, Slots
from beamlens.findings import Alert
from beamlens_actors import Envelope, QueueMailbox, Waker, clock

if TYPE_CHECKING:
    from collections.abc import Hashable


class Verdict(StrEnum):
    """What became of a fired alert."""

    DELIVERED = "delivered"
    MERGED = "merged with the same alert, which is known; its count went up"
    DROPPED = "dropped: the inbox is full of alerts at least as severe"


class InboxStats(NamedTuple):
    """The sum is exact at any moment: fired = delivered + merged + dropped + queued.

    Attributes:
        fired: Alerts that were offered.
        delivered: Acknowledged by the Coordinator: in an insight, or resolved.
        merged: Counted onto an identical one.
        dropped: Lost for want of room, each reported.
        queued: Waiting, or being looked at.
    """

    fired: int
    delivered: int
    merged: int
    dropped: int
    queued: int


@dataclass(frozen=True, slots=True)
class AlertsWaiting:
    """The message that an owner with alerts in its lane gets."""


@dataclass(slots=True)
class _Cooling:
    """An alert that was dealt with, and since and until when the same is merged into it."""

    alert: Alert
    since: float
    until: float


_WAITING: Envelope = (AlertsWaiting(), None)
_MOST_COOLING = 1_000


class AlertInbox(QueueMailbox):
    """Bounded, ranked by severity, merging.

    An alert stays until it is acknowledged. `lease` hands out those that wait, so many at a time; what an owner that
    ended had leased waits again for the next one. Identical alerts (same instance, watcher and anomaly type) are merged
    while one is here, and for their cooldown after it was acknowledged, unless the new one is more severe.

    When it is full, a newcomer takes the place of a less severe one, or is dropped where there is none: no alert is
    dropped before a lesser one.
    """

    def __init__(
        self,
        capacity: int = 1000,
        *,
        most_leased: int = 100,
        on_change: Callable[[Verdict, Alert], object] | None = None,
    ) -> None:
        """Make an empty inbox.

        Args:
            capacity: Most alerts that it holds.
            most_leased: Most that its owner works on at a time: they are in one prompt.
            on_change: Is told of each verdict with the alert (of a merge: the merged one; of a drop: the lost one),
                on the offering thread.
        """
        super().__init__()
        self._most = capacity
        self._most_leased = most_leased
        self._on_change = on_change or (lambda _verdict, _alert: None)
        self._slots = Slots()
        self._cooling: OrderedDict[Hashable, _Cooling] = OrderedDict()
        self._fired = self._delivered = self._merged = self._lost = 0
        self._announced = False

    def offer(self, alert: Alert, cooldown: float = 900.0) -> Verdict:
        """Take a fired alert. Any thread; never blocks for long.

        Args:
            alert: What was fired.
            cooldown: Seconds after its acknowledgement for which the same alert is merged into it. The alert's own
                lengthens it.
        """
        cooldown = max(cooldown, alert.cooldown or 0.0)
        with self._lock:
            self._fired += 1
            verdict, told = self._place(alert, cooldown)
            self._announced = self._announced and verdict is not Verdict.DELIVERED
        for what, which in told:
            self._on_change(what, which)
        self.wake()
        return verdict

    def _place(self, alert: Alert, cooldown: float) -> tuple[Verdict, list[tuple[Verdict, Alert]]]:
        if (open_ := self._slots.same_as(alert)) is not None:
            return Verdict.MERGED, [(Verdict.MERGED, self._merge_open(open_, alert, cooldown))]
        if (merged_late := self._merge_cooling(alert)) is not None:
            return Verdict.MERGED, [(Verdict.MERGED, merged_late)]
        told = [(Verdict.DELIVERED, alert)]
        if len(self._slots) >= self._most:
            self._lost += 1
            lost = self._slots.gives_way_to(alert)
            if lost is None:
                return Verdict.DROPPED, [(Verdict.DROPPED, alert)]
            self._slots.remove(lost)
            told.insert(0, (Verdict.DROPPED, lost.alert))
        self._slots.add(alert, cooldown)
        return Verdict.DELIVERED, told

    def _merge_open(self, slot: Slot, alert: Alert, cooldown: float) -> Alert:
        self._merged += 1
        worse = alert.rank > slot.alert.rank
        severity = alert.severity if worse else slot.alert.severity
        merged = slot.alert.model_copy(update={"count": slot.alert.count + 1, "severity": severity})
        self._slots.replace(slot, merged)
        slot.cooldown = max(slot.cooldown, cooldown)
        return merged

    def _merge_cooling(self, alert: Alert) -> Alert | None:
        earlier = self._cooling.get(alert.identity)
        if earlier is None:
            return None
        if clock.monotonic() >= earlier.until or alert.rank > earlier.alert.rank:
            del self._cooling[alert.identity]
            return None
        self._merged += 1
        earlier.alert = earlier.alert.model_copy(update={"count": earlier.alert.count + 1})
        earlier.until = max(earlier.until, earlier.since + (alert.cooldown or 0.0))
        return earlier.alert

    def lease(self) -> list[Alert]:
        """Hand out alerts that wait, the most severe first, then the oldest. They count as queued.

        Those that are leased already take room: the rest come once some are acknowledged.
        """
        with self._lock:
            self._announced = False
            return self._slots.lease(self._most_leased)

    def current(self, alert_ids: Iterable[str]) -> list[Alert]:
        """These alerts as they are now (counts go up by merging); those that are gone are left out."""
        with self._lock:
            slots = [self._slots.get(alert_id) for alert_id in alert_ids]
        return [slot.alert for slot in slots if slot is not None]

    def acknowledge(self, alert_ids: Iterable[str]) -> None:
        """Remove alerts that are dealt with; those that wait come next."""
        with self._lock:
            now = clock.monotonic()
            for alert_id in alert_ids:
                slot = self._slots.get(alert_id)
                if slot is None:
                    continue
                self._slots.remove(slot)
                self._delivered += 1
                self._cooling[slot.alert.identity] = _Cooling(slot.alert, now, now + slot.cooldown)
                self._forget_cooled(now)
        self.wake()

    def _forget_cooled(self, now: float) -> None:
        while self._cooling:
            oldest = next(iter(self._cooling.values()))
            if len(self._cooling) <= _MOST_COOLING and now < oldest.until:
                return
            self._cooling.popitem(last=False)

    def counts(self) -> InboxStats:
        """The exact account of this moment."""
        with self._lock:
            return InboxStats(self._fired, self._delivered, self._merged, self._lost, len(self._slots))

    def open_alerts(self) -> list[Alert]:
        """The alerts that are not acknowledged, the oldest first."""
        with self._lock:
            return [slot.alert for slot in self._slots.in_order()]

    # -- as a mailbox ----------------------------------------------------------------------------------------

    def bind(self, waker: Waker) -> None:
        """A new owner: what the last one had leased waits again."""
        super().bind(waker)
        with self._lock:
            self._slots.return_all()
            self._announced = False
        self.wake()

    def get(self) -> Envelope | None:
        """The next message; `AlertsWaiting` once, when alerts wait that were not announced and may be leased."""
        envelope = super().get()
        if envelope is not None or self._announced:
            return envelope
        with self._lock:
            if self._announced or not self._slots.waits() or self._slots.leased >= self._most_leased:
                return None
            self._announced = True
        return _WAITING
