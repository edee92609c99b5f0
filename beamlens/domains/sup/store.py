"""SupStore: the actor that owns the recording of what supervisors do."""

from __future__ import annotations

from beamlens.domains.store import Store


class SupStore(Store):
    """Has supervisors tell of their children, and lets them be when it ends in order."""
