"""Hosts, routes and calls as callbacks show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from beamlens.domains.http_client.book import Tally
from beamlens.domains.http_client.call import Call


def ms(seconds: float | None) -> float | None:
    """Milliseconds with two decimals."""
    return None if seconds is None else round(1e3 * seconds, 2)


def tally_row(name: str, key: str, tally: Tally, usual: float | None, in_flight: Sequence[Call]) -> dict[str, Any]:
    """One host or route.

    Args:
        name: Its name.
        key: What it is called in the row: ``host`` or ``route``.
        tally: Its last minute.
        usual: Its usual 95th percentile in seconds.
        in_flight: Its calls in flight.
    """
    return {
        key: name,
        "count": tally.count,
        "errors": tally.failed,
        "error_pct": round(100 * tally.failed / tally.count, 2) if tally.count else 0.0,
        "by_error": dict(tally.errors),
        "by_status": dict(tally.statuses),
        "cancelled": tally.cancelled,
        "p50_ms": ms(tally.took.percentile(0.5)),
        "p95_ms": ms(tally.took.percentile(0.95)),
        "p99_ms": ms(tally.took.percentile(0.99)),
        "usual_p95_ms": ms(usual),
        "first_byte_p95_ms": ms(tally.first.percentile(0.95)),
        "total_s": round(tally.took.total, 3),
        "retries": tally.retries,
        "pool_waits": int(tally.waits[0]),
        "pool_wait_max_ms": ms(tally.waits[2]),
        "received_kb": round(tally.received / 1024, 2),
        "in_flight": len(in_flight),
    }


def site_rows(tally: Tally) -> list[dict[str, Any]]:
    """The lines that make the calls, most time first."""
    held = sorted(tally.sites.items(), key=lambda item: -item[1].seconds)[:10]
    return [
        {
            "at": None if site is None else str(site),
            "calls": spent.calls,
            "errors": spent.failed,
            "total_s": round(spent.seconds, 3),
            "share": round(spent.seconds / max(1e-9, tally.took.total), 3),
        }
        for site, spent in held
    ]


def in_flight_row(call: Call) -> dict[str, Any]:
    """A call in flight; ``timeout`` is ``set``, ``none`` or ``unknown``."""
    return {
        "route": call.route,
        "library": call.library,
        "age_s": round(call.age(), 3),
        "stage": call.stage,
        "timeout": call.limit,
        "retries": call.retries,
        "at": None if call.site is None else str(call.site),
    }


def ended_row(call: Call) -> dict[str, Any]:
    """A call that has ended."""
    return {
        "time": datetime.fromtimestamp(call.at, UTC).isoformat(),
        "route": call.route,
        "library": call.library,
        "status": call.status or None,
        "error": call.error or None,
        "raised": call.raised or None,
        "took_ms": ms(call.took),
        "first_byte_ms": ms(call.first_byte),
        "pool_wait_ms": ms(call.pool_wait),
        "retries": call.retries,
        "at": None if call.site is None else str(call.site),
    }
