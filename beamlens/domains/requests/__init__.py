"""What comes in: requests, WebSockets, tasks. Fed by the doors of `beamlens.integrations`."""

from beamlens.domains.requests.domain import RequestsDomain
from beamlens.domains.requests.store import RequestStore

__all__ = ["RequestStore", "RequestsDomain"]
