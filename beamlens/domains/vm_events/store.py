"""EventStore: the actor that owns the callback of the garbage collector, and the sampler's use."""

from __future__ import annotations

from beamlens.domains.store import Store


class EventStore(Store):
    """Installs the recorder of events, and takes it out when it ends in order."""
