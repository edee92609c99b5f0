"""Where clients tell what they do besides answering: their queues, circuits and switches, as events of an instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from beamlens.llm.client import LLMClient
from beamlens.llm.offline import OfflineAnalyst

if TYPE_CHECKING:
    from beamlens.telemetry import Bus


class BusReport:
    """A `Report` that emits on an instance's bus."""

    __slots__ = ("_bus",)

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __call__(self, name: str, numbers: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """See `Report`."""
        self._bus.emit(name, metadata["provider"], numbers, **metadata)


def report_to(client: LLMClient, bus: Bus) -> None:
    """Have a client, and those that it asks, tell this instance; a report of the user's own stays.

    A client that is shared by several instances tells the one that used it last.
    """
    if isinstance(client, OfflineAnalyst):
        return
    for teller in _tellers(client):
        if teller.report is None or isinstance(teller.report, BusReport):
            teller.report = BusReport(bus)


def _tellers(client: LLMClient) -> Iterator[Any]:
    from beamlens.llm.composites import Fallback, RoundRobin
    from beamlens.llm.dispatcher import Dispatched

    if isinstance(client, Dispatched):
        yield client.dispatcher
        yield from _tellers(client.client)
    elif isinstance(client, Fallback | RoundRobin):
        if isinstance(client, Fallback):
            yield client
        for member in client.members:
            yield from _tellers(member)
