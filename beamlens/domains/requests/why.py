"""Why requests are slow or fail: their calls, and the lines at which those under way are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beamlens.domains import bursts
from beamlens.domains.requests.book import Tally
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import request_stacks
from beamlens.probes.request_context import Call, InboundRequest
from beamlens.probes.request_stacks import LinesSeen
from beamlens_actors import clock

_HALF = 0.5
_MOST = 0.6
_REPEATED = 5
_FEWEST_LOOKS = 10
_SECONDS = 1.5
LATELY = 30.0
"""Seconds back to which slow requests are looked at."""
SLOW_TIMES = 2.0
"""Times the usual p95 from which on a request is a slow one."""
_RECENT = 20.0


def explain_failures(failed: Sequence[tuple[str, InboundRequest]]) -> list[Evidence]:
    """Group the failures of the last 20 seconds by exception and place."""
    now = clock.time()
    found = [
        bursts.Failure(said(request), _place_of(request), request.failure, name)
        for name, request in failed
        if now - request.at - (request.took or 0.0) < _RECENT
    ]
    return bursts.explain(found, _RECENT, "failed requests")


def said(request: InboundRequest) -> str:
    """How a request failed, in its own words."""
    return f"status {request.status}" if request.failure is None else request.failure.message


def _place_of(request: InboundRequest) -> Place | None:
    return None if request.failure is None else request.failure.place


def explain_slowness(
    routes: Sequence[str], tallies: dict[str, Tally], in_flight: Callable[[], Sequence[InboundRequest]]
) -> list[Evidence]:
    """Look at what the requests of some routes spend their time in; takes 1.5 seconds.

    Args:
        routes: The routes in question; none: all of them.
        tallies: Route to its slow requests of late.
        in_flight: Answers what is under way.
    """
    wanted = frozenset(routes)
    seen = request_stacks.sample(
        in_flight, lambda request: not request.responding and (not wanted or request.route in wanted), _SECONDS
    )
    blocked = _blocked_loop(seen)
    found = [piece for route in routes for piece in _calls(route, tallies.get(route))]
    lines = [] if blocked or any(piece.strength == Strength.CONCLUSIVE for piece in found) else _lines(seen, routes)
    return [*blocked, *found, *lines]


def _calls(route: str, tally: Tally | None) -> list[Evidence]:
    """The statement or target that a route spends half of its time in."""
    if tally is None or not tally.calls or tally.took.total <= 0:
        return []
    call, (requests, times, seconds) = max(tally.calls.items(), key=lambda item: item[1][2])
    share = min(1.0, seconds / tally.took.total)
    if share < _HALF:
        return []
    each = times / requests
    cause = CauseKind.SLOW_DEPENDENCY if call.part == "http" else CauseKind.SLOW_QUERY
    if call.part == "sql" and each >= _REPEATED:
        cause = CauseKind.REPEATED_QUERIES
    text = (
        f"{100 * share:.0f} % of the time of {_those(tally.count)} of {route} in the last {LATELY:.0f} s "
        f"is spent in {_counted(call, each)}"
        f"{f' at {call.place}' if call.place else ''}: {call.what[:200]}"
    )
    strength = Strength.CONCLUSIVE if call.place is not None else Strength.SUPPORTING
    data = {"route": route, "share": round(share, 3), "times_a_request": round(each, 1), "seconds": round(seconds, 3)}
    return [Evidence(text=text, cause=cause, strength=strength, place=call.place, data=data)]


def _those(count: int) -> str:
    return "the slowest request" if count == 1 else f"the {count} slowest requests"


def _counted(call: Call, each: float) -> str:
    what = "SQL statement" if call.part == "sql" else "outgoing HTTP call"
    if each < 1.5:
        return f"one {what}"
    return f"{each:.0f} {'identical ' if call.part == 'sql' else ''}{what}s a request"


def _blocked_loop(seen: LinesSeen) -> list[Evidence]:
    """A request that keeps its event loop from all others."""
    total = seen.blocking.total()
    if seen.looks < _FEWEST_LOOKS or total < _FEWEST_LOOKS:
        return []
    frame, count = seen.blocking.most_common(1)[0]
    share = count / total
    text = (
        f"{total} of {seen.looks} looks at requests under way found one that kept the event loop to itself, "
        f"{100 * share:.0f} % of them at {frame.file}:{frame.line} {frame.function}; all others wait for it"
    )
    place = Place(file=frame.file, line=frame.line, function=frame.function)
    strength = Strength.CONCLUSIVE if share >= _MOST else Strength.SUPPORTING
    data = {"looks": seen.looks, "blocking": total, "share": round(share, 3)}
    return [Evidence(text=text, cause=CauseKind.BLOCKED_LOOP, strength=strength, place=place, data=data)]


def _lines(seen: LinesSeen, routes: Sequence[str]) -> list[Evidence]:
    if seen.looks < _FEWEST_LOOKS or not seen.lines:
        return []
    frame, count = seen.lines.most_common(1)[0]
    share = count / seen.looks
    if share < _HALF / 2 or frame.line < 1:
        return []
    whose = f"requests under way of {', '.join(routes[:3])}" if routes else "requests under way"
    text = (
        f"{100 * share:.0f} % of {seen.looks} looks at {whose} found them at {frame.file}:{frame.line} {frame.function}"
    )
    place = Place(file=frame.file, line=frame.line, function=frame.function)
    strength = Strength.CONCLUSIVE if share >= _MOST else Strength.SUPPORTING
    data = {"looks": seen.looks, "share": round(share, 3)}
    return [Evidence(text=text, cause=CauseKind.SLOW_LINE, strength=strength, place=place, data=data)]
