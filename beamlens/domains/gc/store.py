"""The actor that owns what is installed in the collector."""

from __future__ import annotations

from beamlens.domains.store import Store


class GcStore(Store):
    """Takes the callbacks out at an orderly end; after a crash they stay, and the restarted store takes them over."""
