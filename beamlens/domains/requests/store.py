"""RequestStore: the actor that owns the recording of requests."""

from __future__ import annotations

from beamlens.domains.store import Store


class RequestStore(Store):
    """Has the doors hand in what comes in, and lets them rest when it ends in order."""
