"""The places of an `AlertInbox`: who waits, who is being looked at, who gives way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beamlens.findings import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from beamlens.findings import Alert


@dataclass(slots=True)
class Slot:
    """An alert in its place.

    Attributes:
        alert: As it is now; its count goes up by merging.
        order: Its number in the order of arrival.
        cooldown: Seconds after its acknowledgement for which the same is merged into it.
        leased: Whether the owner of the inbox works on it.
    """

    alert: Alert
    order: int
    cooldown: float
    leased: bool = False


class Slots:
    """Alerts by id, by identity, and by severity. Not thread-safe; a newcomer costs the same however many are here."""

    def __init__(self) -> None:
        self._by_id: dict[str, Slot] = {}
        self._by_identity: dict[Hashable, Slot] = {}
        # For each severity, those that wait and those that are leased, oldest first.
        self._waiting: list[OrderedDict[str, Slot]] = [OrderedDict() for _ in SEVERITIES]
        self._leased: list[OrderedDict[str, Slot]] = [OrderedDict() for _ in SEVERITIES]
        self._order = 0
        self.leased = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._by_id.values())

    def get(self, alert_id: str) -> Slot | None:
        """The place of an alert, if it has one."""
        return self._by_id.get(alert_id)

    def same_as(self, alert: Alert) -> Slot | None:
        """The place of the identical alert, if there is one."""
        return self._by_identity.get(alert.identity)

    def waits(self) -> bool:
        """Whether any waits."""
        return len(self._by_id) > self.leased

    def add(self, alert: Alert, cooldown: float) -> None:
        """Give it a place; it waits."""
        self._order += 1
        slot = Slot(alert, self._order, cooldown)
        self._by_id[alert.id] = self._by_identity[alert.identity] = slot
        self._waiting[alert.rank][alert.id] = slot

    def remove(self, slot: Slot) -> None:
        """Free its place."""
        del self._by_id[slot.alert.id]
        del self._by_identity[slot.alert.identity]
        del self._row(slot)[slot.alert.id]
        self.leased -= slot.leased

    def replace(self, slot: Slot, alert: Alert) -> None:
        """The alert as it is from now on: same id and identity, perhaps more severe."""
        if alert.rank != slot.alert.rank:
            row = self._row(slot)
            del row[slot.alert.id]
            slot.alert = alert
            # By age: it has waited longer than those that came after it.
            self._insert(self._row(slot), slot)
        slot.alert = alert

    def gives_way_to(self, alert: Alert) -> Slot | None:
        """Whose place a newcomer gets: the least severe that waits, the oldest of them; else one that is leased."""
        for rows in (self._waiting, self._leased):
            for row in rows[: alert.rank]:
                if row:
                    return next(iter(row.values()))
        return None

    def lease(self, most: int) -> list[Alert]:
        """Mark those that wait as leased, the most severe first, then the oldest, up to `most` in all."""
        found: list[Alert] = []
        for rank in range(len(SEVERITIES) - 1, -1, -1):
            row = self._waiting[rank]
            while row and self.leased < most:
                alert_id, slot = row.popitem(last=False)
                slot.leased = True
                self.leased += 1
                self._leased[rank][alert_id] = slot
                found.append(slot.alert)
        return found

    def return_all(self) -> None:
        """What is leased waits again, in its old order."""
        for rank, row in enumerate(self._leased):
            slots = sorted((*row.values(), *self._waiting[rank].values()), key=_order)
            for slot in slots:
                slot.leased = False
            self._waiting[rank] = OrderedDict((slot.alert.id, slot) for slot in slots)
            row.clear()
        self.leased = 0

    def in_order(self) -> Iterable[Slot]:
        """All, oldest first."""
        return sorted(self._by_id.values(), key=_order)

    def _row(self, slot: Slot) -> OrderedDict[str, Slot]:
        return (self._leased if slot.leased else self._waiting)[slot.alert.rank]

    @staticmethod
    def _insert(row: OrderedDict[str, Slot], slot: Slot) -> None:
        row[slot.alert.id] = slot
        for alert_id in [other.alert.id for other in row.values() if other.order > slot.order]:
            row.move_to_end(alert_id)


def _order(slot: Slot) -> int:
    return slot.order
