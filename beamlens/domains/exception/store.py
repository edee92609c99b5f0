"""ExceptionStore: the actor that owns the capture of exceptions."""

from __future__ import annotations

from beamlens.domains.store import Store


class ExceptionStore(Store):
    """Installs the exception recorder, and takes it out when it ends in order."""
