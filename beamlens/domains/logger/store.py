"""LogStore: the actor that owns the capture of log records."""

from __future__ import annotations

from beamlens.domains.store import Store


class LogStore(Store):
    """Installs the log recorder, and takes it out when it ends in order."""
