"""A SQL statement that ended: as it is put down on the host's thread, and as it is read."""

from __future__ import annotations

from typing import NamedTuple

from beamlens.domains.database.leases import Running
from beamlens.probes.call_site import Site
from beamlens.probes.request_context import InboundRequest

Finished = tuple[float, Running, int | str, int, float, str, bool, InboundRequest | None]
"""A statement that ended, as it is put down on the host's thread; a plain tuple, since that is half the cost.

- when it ended, on ``time.perf_counter``
- its text, the line that sent it, when it began
- number of its transaction, or its request's trace id
- rows that it returned or changed, -1 where that is not known for free
- seconds in the pool's queue before it, if it is the first on its connection
- kind of the error that ended it, ``""`` if none did; whether the connection or the server is gone
- its request, whose route may be known only later
"""


class Statement(NamedTuple):
    """A statement that ended, with its fingerprint instead of its text; see `Finished`.

    Attributes:
        at: When it ended, in seconds since the epoch.
        seconds: How long it took, as the driver sees it.
    """

    at: float
    seconds: float
    fingerprint: str
    site: Site | None
    rows: int
    queued: float
    error: str
    lost: bool
    route: str


def error_kind(error: BaseException) -> str:
    """Type of a driver's error, with the SQLSTATE if it has one: ``UniqueViolation (23505)``."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    name = type(error).__name__
    return f"{name} ({state})" if isinstance(state, str) else name
