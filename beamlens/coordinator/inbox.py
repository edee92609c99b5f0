"""The Coordinator's mailbox: a default mailbox plus a lane of alerts that outlives the actor (design D3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

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
class _Slot:
    alert: Alert
    order: int
    leased: bool = False


_WAITING: Envelope = (AlertsWaiting(), None)
_MOST_COOLING = 10_000


class AlertInbox(QueueMailbox):
    """Bounded, ranked by severity, merging.

    An alert stays until it is acknowledged. `lease` hands out those that wait; what an owner that ended had leased
    waits again for the next one. Identical alerts (same instance, watcher and anomaly type) are merged while one is
    here, and for the watcher's cooldown after it was acknowledged, unless the new one is more severe.
    """

    def __init__(self, capacity: int = 1000, *, on_change: Callable[[Verdict, Alert], object] | None = None) -> None:
        """Make an empty inbox.

        Args:
            capacity: Most alerts that it holds.
            on_change: Is told of each verdict with the alert (of a merge: the merged one; of a drop: the lost one),
                on the offering thread.
        """
        super().__init__()
        self._most = capacity
        self._on_change = on_change or (lambda _verdict, _alert: None)
        self._slots: dict[str, _Slot] = {}
        self._by_identity: dict[Hashable, str] = {}
        self._cooling: OrderedDict[Hashable, tuple[Alert, float]] = OrderedDict()
        self._cooldowns: dict[Hashable, float] = {}
        self._order = 0
        self._fired = self._delivered = self._merged = self._lost = 0
        self._announced = False

    def offer(self, alert: Alert, cooldown: float = 900.0) -> Verdict:
        """Take a fired alert. Any thread; never blocks for long.

        Args:
            alert: What was fired.
            cooldown: Seconds after its acknowledgement for which the same alert is merged into it.
        """
        with self._lock:
            self._fired += 1
            verdict, told = self._place(alert)
            if verdict is Verdict.DELIVERED:
                self._cooldowns[alert.identity] = cooldown
            self._announced = self._announced and verdict is not Verdict.DELIVERED
        for what, which in told:
            self._on_change(what, which)
        self.wake()
        return verdict

    def _place(self, alert: Alert) -> tuple[Verdict, list[tuple[Verdict, Alert]]]:
        open_id = self._by_identity.get(alert.identity)
        if open_id is not None:
            merged = self._merge_open(self._slots[open_id], alert)
            return Verdict.MERGED, [(Verdict.MERGED, merged)]
        if (merged_late := self._merge_cooling(alert)) is not None:
            return Verdict.MERGED, [(Verdict.MERGED, merged_late)]
        told = [(Verdict.DELIVERED, alert)]
        if len(self._slots) >= self._most:
            lost = min(self._slots.values(), key=lambda slot: (slot.alert.rank, slot.leased, slot.order))
            self._lost += 1
            if lost.alert.rank >= alert.rank or lost.leased:
                return Verdict.DROPPED, [(Verdict.DROPPED, alert)]
            self._remove(lost.alert.id)
            told.insert(0, (Verdict.DROPPED, lost.alert))
        self._order += 1
        self._slots[alert.id] = _Slot(alert, self._order)
        self._by_identity[alert.identity] = alert.id
        return Verdict.DELIVERED, told

    def _merge_open(self, slot: _Slot, alert: Alert) -> Alert:
        self._merged += 1
        worse = alert.rank > slot.alert.rank
        severity = alert.severity if worse else slot.alert.severity
        slot.alert = slot.alert.model_copy(update={"count": slot.alert.count + 1, "severity": severity})
        return slot.alert

    def _merge_cooling(self, alert: Alert) -> Alert | None:
        earlier, until = self._cooling.get(alert.identity, (None, 0.0))
        if earlier is None or clock.monotonic() >= until or alert.rank > earlier.rank:
            self._cooling.pop(alert.identity, None)
            return None
        self._merged += 1
        merged = earlier.model_copy(update={"count": earlier.count + 1})
        self._cooling[alert.identity] = (merged, until)
        return merged

    def lease(self) -> list[Alert]:
        """Hand out the alerts that wait, the most severe first, then the oldest. They count as queued."""
        with self._lock:
            waiting = [slot for slot in self._slots.values() if not slot.leased]
            for slot in waiting:
                slot.leased = True
            self._announced = False
        waiting.sort(key=lambda slot: (-slot.alert.rank, slot.order))
        return [slot.alert for slot in waiting]

    def current(self, alert_ids: Iterable[str]) -> list[Alert]:
        """These alerts as they are now (counts go up by merging); those that are gone are left out."""
        with self._lock:
            return [self._slots[alert_id].alert for alert_id in alert_ids if alert_id in self._slots]

    def acknowledge(self, alert_ids: Iterable[str]) -> None:
        """Remove alerts that are dealt with."""
        with self._lock:
            for alert_id in alert_ids:
                slot = self._slots.get(alert_id)
                if slot is None:
                    continue
                self._remove(alert_id)
                self._delivered += 1
                until = clock.monotonic() + self._cooldowns.pop(slot.alert.identity, 0.0)
                self._cooling[slot.alert.identity] = (slot.alert, until)
                if len(self._cooling) > _MOST_COOLING:
                    self._cooling.popitem(last=False)

    def _remove(self, alert_id: str) -> None:
        slot = self._slots.pop(alert_id)
        self._by_identity.pop(slot.alert.identity, None)

    def counts(self) -> InboxStats:
        """The exact account of this moment."""
        with self._lock:
            return InboxStats(self._fired, self._delivered, self._merged, self._lost, len(self._slots))

    def open_alerts(self) -> list[Alert]:
        """The alerts that are not acknowledged, the oldest first."""
        with self._lock:
            return [slot.alert for slot in sorted(self._slots.values(), key=lambda slot: slot.order)]

    # -- as a mailbox ----------------------------------------------------------------------------------------

    def bind(self, waker: Waker) -> None:
        """A new owner: what the last one had leased waits again."""
        super().bind(waker)
        with self._lock:
            for slot in self._slots.values():
                slot.leased = False
            self._announced = False
        self.wake()

    def get(self) -> Envelope | None:
        """The next message; `AlertsWaiting` once, when alerts wait that were not announced."""
        envelope = super().get()
        if envelope is not None or self._announced:
            return envelope
        with self._lock:
            if self._announced or all(slot.leased for slot in self._slots.values()):
                return None
            self._announced = True
        return _WAITING
