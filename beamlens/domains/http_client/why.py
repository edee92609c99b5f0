"""Why outgoing calls fail, are slow, wait or hang: which host and route, and which line of the program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from beamlens.domains.http_client.book import Tally
from beamlens.domains.http_client.call import Call
from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.probes.call_site import Site
from beamlens_actors import clock

LATELY = 20.0
"""Seconds back to which is looked."""
_MAJORITY = 0.6
_FEWEST = 5
_UNKNOWN = "an unknown line"
_SAID = {
    "refused": "the connection was refused", "dns": "the host's name was not found", "tls": "TLS failed",
    "timeout": "timed out", "reset": "the connection was reset", "pool": "no free connection in the pool in time",
    "5xx": "answered with status 5xx", "other": "failed otherwise",
}  # fmt: skip


def failing(failed: Sequence[Call], tallies: Mapping[str, Tally], since: Mapping[str, float]) -> list[Evidence]:
    """The failures of some hosts.

    Args:
        failed: All failures that are known, newest first.
        tallies: Host to its sums over the last `LATELY` seconds.
        since: Each host in question to the seconds that are to be looked back, at least `LATELY`.
    """
    now, found = clock.time(), []
    for host, seconds in since.items():
        mine = [one for one in failed if one.host == host and one.at + (one.took or 0.0) >= now - seconds]
        found += _failing(host, mine, tallies, seconds)
    return found


def _failing(host: str, failed: Sequence[Call], tallies: Mapping[str, Tally], seconds: float) -> list[Evidence]:
    if not failed:
        return []
    kinds = Counter(call.error for call in failed)
    kind, most = kinds.most_common(1)[0]
    site, at_site = Counter(call.site for call in failed).most_common(1)[0]
    route = Counter(call.route for call in failed).most_common(1)[0][0]
    calls = max(len(failed), tallies[host].count if host in tallies else 0)
    raised = Counter(call.raised or str(call.status) for call in failed).most_common(1)[0][0]
    retries = sum(call.retries for call in failed)
    text = (
        f"{len(failed)} of {calls} calls to {host} failed in the last {seconds:.0f} s: "
        f"{', '.join(f'{_SAID[name]} ({count})' for name, count in kinds.most_common(3))} [{raised}]; "
        f"{at_site} of them made at {site or _UNKNOWN}, mostly {route}"
        f"{f'; they were retried {retries} times' if retries else ''}"
    )
    clear = len(failed) >= _FEWEST and site is not None and at_site >= _MAJORITY * len(failed)
    data = {"host": host, "failed": len(failed), "calls": calls, "kind": kind, "share": round(most / len(failed), 3)}
    cause = CauseKind.HTTP_POOL_EXHAUSTED if kind == "pool" else CauseKind.FAILING_DEPENDENCY
    return [_evidence(text, cause, site, clear=clear, data=data)]


def slow(hosts: Sequence[str], routes: Mapping[str, Mapping[str, Tally]], usual: Mapping[str, float]) -> list[Evidence]:
    """What some hosts are slow in.

    Args:
        hosts: The hosts in question.
        routes: Host to its routes with their sums over the last `LATELY` seconds.
        usual: Host to its usual 95th percentile in seconds, where it is known.
    """
    found = []
    for host in hosts:
        held = routes.get(host)
        if not held:
            continue
        route, tally = max(held.items(), key=lambda item: item[1].took.total)
        every = sum(one.took.total for one in held.values())
        site, spent = max(tally.sites.items(), key=lambda item: item[1].seconds)
        waited = tally.waits[1] / max(1e-9, tally.took.total)
        first = max(0.0, tally.first.total / max(1e-9, tally.took.total) - waited)
        before = f" instead of a usual {1e3 * usual[host]:.0f} ms" if host in usual else ""
        text = (
            f"{100 * tally.took.total / max(1e-9, every):.0f} % of the time of calls to {host} in the last "
            f"{LATELY:.0f} s is {route}: {tally.count} calls, p95 {1e3 * (tally.took.percentile(0.95) or 0):.0f} ms"
            f"{before}, {100 * first:.0f} % of it until the first byte, {100 * waited:.0f} % waiting for a connection; "
            f"{spent.calls} of them ({spent.seconds:.1f} s) made at {site or _UNKNOWN}"
        )
        share = spent.seconds / max(1e-9, tally.took.total)
        data = {"host": host, "route": route, "share": round(share, 3), "first_byte_share": round(first, 3)}
        clear = site is not None and share >= _MAJORITY
        cause = CauseKind.HTTP_POOL_EXHAUSTED if waited >= _MAJORITY else CauseKind.SLOW_DEPENDENCY
        found.append(_evidence(text, cause, site, clear=clear, data=data))
    return found


def waiting(held: Sequence[Call], tallies: Mapping[str, Tally]) -> list[Evidence]:
    """Who keeps the connections that others wait for.

    Args:
        held: What is in flight, oldest first.
        tallies: Host to its sums over the last `LATELY` seconds.
    """
    queued = Counter(call.host for call in held if call.stage == "pool")
    for host, tally in tallies.items():
        queued[host] += int(tally.waits[0])
    if not queued:
        return []
    host, waits = queued.most_common(1)[0]
    users = [call for call in held if call.host == host and call.stage != "pool"]
    longest = max([tallies[host].waits[2] if host in tallies else 0.0, *(_waits(call) for call in held)])
    said = f"{waits} calls to {host} waited for a free connection in the last {LATELY:.0f} s, up to {longest:.1f} s"
    data: dict[str, object] = {"host": host, "waits": waits, "longest_s": round(longest, 2), "in_use": len(users)}
    if not users:
        tally = tallies[host]
        site, spent = max(tally.sites.items(), key=lambda item: item[1].seconds)
        text = f"{said}; {spent.calls} of the calls that use its connections are made at {site or _UNKNOWN}"
        return [_evidence(text, CauseKind.HTTP_POOL_EXHAUSTED, site, clear=False, data=data)]
    site, count = Counter(call.site for call in users).most_common(1)[0]
    unread = sum(call.stage == "body" for call in users)
    text = (
        f"{said}; {count} of the {len(users)} connections in use are used by {site or _UNKNOWN}, the longest for "
        f"{users[0].age():.1f} s{f', {unread} of them with an answer that is not read to its end' if unread else ''}"
    )
    clear = site is not None and count >= _MAJORITY * len(users)
    return [_evidence(text, CauseKind.HTTP_POOL_EXHAUSTED, site, clear=clear, data=data)]


def _waits(call: Call) -> float:
    return call.age() if call.stage == "pool" else 0.0


def hanging(calls: Sequence[Call]) -> list[Evidence]:
    """Calls that get no answer, by host and line.

    Args:
        calls: Those, oldest first.
    """
    if not calls:
        return []
    (host, site), count = Counter((call.host, call.site) for call in calls).most_common(1)[0]
    group = [call for call in calls if (call.host, call.site) == (host, site)]
    without = sum(call.limit == "none" for call in group)
    pool = sum(call.stage == "pool" for call in group)
    limit = (
        f"; no timeout is set on {without} of them, so they may hang for ever: set one" if without
        else "; a timeout is set" if all(call.limit == "set" for call in group)
        else ""
    )  # fmt: skip
    text = (
        f"{count} of {len(calls)} outgoing calls without an answer were made at {site or _UNKNOWN} to {host} "
        f"({Counter(call.route for call in group).most_common(1)[0][0]}), the oldest {group[0].age():.1f} s ago"
        f"{f'; {pool} of them wait for a free connection' if pool else ''}{limit}"
    )
    cause = CauseKind.HTTP_POOL_EXHAUSTED if pool >= _MAJORITY * len(group) else CauseKind.SLOW_DEPENDENCY
    data = {"host": host, "hanging": len(calls), "count": count, "without_timeout": without}
    return [_evidence(text, cause, site, clear=site is not None and count >= _MAJORITY * len(calls), data=data)]


def _evidence(text: str, cause: str, site: Site | None, *, clear: bool, data: Mapping[str, object]) -> Evidence:
    return Evidence(
        text=text,
        cause=cause,
        strength=Strength.CONCLUSIVE if clear else Strength.SUPPORTING,
        place=None if site is None else site.place,
        data=dict(data),
    )
