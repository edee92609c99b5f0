"""What goes out: calls through http.client (requests, urllib3), httpx and aiohttp."""

from beamlens.domains.http_client.domain import HttpClientDomain
from beamlens.domains.http_client.store import HttpClientStore

__all__ = ["HttpClientDomain", "HttpClientStore"]
