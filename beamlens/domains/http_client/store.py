"""HttpClientStore: the actor that owns the recording of outgoing calls."""

from __future__ import annotations

from beamlens.domains.store import Store


class HttpClientStore(Store):
    """Has the libraries tell of their calls, and puts them back when it ends in order."""
