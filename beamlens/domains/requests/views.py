"""Requests and routes as rows of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from beamlens.domains.requests.book import Tally
from beamlens.evidence import Place
from beamlens.probes import request_stacks
from beamlens.probes.frames import Frame
from beamlens.probes.request_context import InboundRequest

_MOST_CALLS = 3


def ms(seconds: float | None) -> float | None:
    """Milliseconds, to the microsecond."""
    return None if seconds is None else round(1e3 * seconds, 3)


def route_row(name: str, tally: Tally, usual_p95: float | None, in_flight: Sequence[InboundRequest]) -> dict[str, Any]:
    """A route's last minute."""
    took = tally.took
    return {
        "route": name,
        "count": tally.count,
        "errors": tally.errors,
        "aborted": tally.aborted,
        "retried": tally.retried,
        "total_s": round(took.total, 3),
        "p50_ms": ms(took.percentile(0.5)),
        "p95_ms": ms(took.percentile(0.95)),
        "p99_ms": ms(took.percentile(0.99)),
        "usual_p95_ms": ms(usual_p95),
        "queue_p95_ms": ms(tally.queued.percentile(0.95)),
        "sql_count": int(tally.sql[0]),
        "sql_ms": ms(tally.sql[1]),
        "http_count": int(tally.http[0]),
        "http_ms": ms(tally.http[1]),
        "in_flight": sum(request.route == name for request in in_flight),
    }


def slow_row(name: str, request: InboundRequest) -> dict[str, Any]:
    """A request that was answered."""
    calls = sorted((request.repeats or {}).copy().items(), key=lambda item: -item[1][1])[:_MOST_CALLS]
    return {
        "route": name,
        "time": _time(request.at),
        "took_ms": ms(request.took),
        "status": request.status or None,
        "outcome": request.outcome,
        "queued_ms": ms(request.queued),
        **_parts(request),
        "calls": [
            {"part": call.part, "what": call.what[:200], "at": _at(call.place), "times": int(times), "ms": ms(seconds)}
            for call, (times, seconds) in calls
        ],
        "trace_id": request.trace_id,
    }


def in_flight_row(request: InboundRequest, shared: frozenset[int] = frozenset()) -> dict[str, Any]:
    """A request under way, with what it does now; of `shared` threads nobody can tell."""
    doing = request_stacks.doing(request, shared=shared)
    at = doing.at
    return {
        "route": request.route,
        "kind": request.kind,
        "age_s": round(request.age(), 3),
        "responding": request.responding,
        "at": None if at is None else f"{at.file}:{at.line} {at.function}",
        "innermost": _shown(doing.stack[0]) if doing.stack else None,
        "blocks_the_loop": doing.blocks,
        **_parts(request),
        "trace_id": request.trace_id,
    }


def failed_row(name: str, request: InboundRequest) -> dict[str, Any]:
    """A request that failed."""
    failure = request.failure
    return {
        "route": name,
        "time": _time(request.at),
        "took_ms": ms(request.took),
        "status": request.status or None,
        "exception": None if failure is None else failure.type,
        "message": None if failure is None else failure.message,
        "at": None if failure is None else _at(failure.place),
        "trace_id": request.trace_id,
    }


def _parts(request: InboundRequest) -> dict[str, Any]:
    return {
        "sql_count": request.sql_count,
        "sql_ms": ms(request.sql_seconds),
        "http_count": request.http_count,
        "http_ms": ms(request.http_seconds),
    }


def _shown(frame: Frame) -> str:
    return f"{frame.file}:{frame.line} {frame.function}"


def _at(place: Place | None) -> str | None:
    return None if place is None else f"{place.file}:{place.line} {place.function}".rstrip()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
