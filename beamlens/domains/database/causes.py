"""Why a sensor of the database fired: facts about statements, places and connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from beamlens.domains.database.checkouts import Checkout
from beamlens.domains.database.leases import Lease
from beamlens.domains.database.repeats import Repeat
from beamlens.domains.database.statement import Statement
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes.call_site import Site

_MAJORITY = 0.6
_FEWEST = 5
_IDLE_S = 1.0
_SHOWN = 240
_UNKNOWN = "an unknown line"


def repeated(repeats: Sequence[Repeat]) -> list[Evidence]:
    """The lines that send the same statement again and again.

    Args:
        repeats: Those of the last seconds, most statements first.
    """
    return [
        Evidence(
            text=(
                f"{one.site or _UNKNOWN} sends the same statement up to {one.most} times in one transaction "
                f"or request, {one.statements} times in {one.runs} of them, {one.seconds:.2f} s in all"
                f"{_route(one.routes)}: {_cut(one.fingerprint)}"
            ),
            cause=CauseKind.REPEATED_QUERIES,
            strength=Strength.CONCLUSIVE if one.site is not None else Strength.SUPPORTING,
            place=None if one.site is None else one.site.place,
            data={"most": one.most, "statements": one.statements, "runs": one.runs, "seconds": round(one.seconds, 3)},
        )
        for one in repeats[:2]
    ]


def _route(routes: Counter[str]) -> str:
    return f", mostly in {routes.most_common(1)[0][0]}" if routes else ""


def latency(statements: Sequence[Statement], usual: Mapping[str, float], seconds: float) -> list[Evidence]:
    """The statement that takes more time than it usually does.

    Args:
        statements: Those of the last `seconds`.
        usual: What fingerprints usually take, where that is known.
        seconds: Length of the window.
    """
    excess: dict[tuple[str, Site | None], float] = {}
    for one in statements:
        key = one.fingerprint, one.site
        excess[key] = excess.get(key, 0.0) + one.seconds - usual.get(one.fingerprint, one.seconds)
    total = sum(more for more in excess.values() if more > 0)
    if total <= 0:
        return []
    (fingerprint, site), most = max(excess.items(), key=lambda item: item[1])
    group = [one.seconds for one in statements if (one.fingerprint, one.site) == (fingerprint, site)]
    mean, before, share = 1e3 * sum(group) / len(group), 1e3 * usual[fingerprint], most / total
    return [
        Evidence(
            text=(
                f"{100 * share:.0f} % of the time that statements took beyond what is usual in the last "
                f"{seconds:.0f} s ({most:.2f} of {total:.2f} s) is one statement at {site or _UNKNOWN}: "
                f"{len(group)} times {mean:.1f} ms instead of a usual {before:.1f} ms: {_cut(fingerprint)}"
            ),
            cause=CauseKind.SLOW_QUERY,
            strength=Strength.CONCLUSIVE if share >= _MAJORITY and site is not None else Strength.SUPPORTING,
            place=None if site is None else site.place,
            data={
                "share": round(share, 3),
                "count": len(group),
                "mean_ms": round(mean, 1),
                "usual_ms": round(before, 1),
            },
        )
    ]


def errors(failed: Sequence[Statement], seconds: float) -> list[Evidence]:
    """The errors, by kind and line.

    Args:
        failed: Statements of the last `seconds` that ended with an error.
        seconds: Length of the window.
    """
    if not failed:
        return []
    (kind, site), count = Counter((one.error, one.site) for one in failed).most_common(1)[0]
    group = [one for one in failed if (one.error, one.site) == (kind, site)]
    lost = sum(one.lost for one in failed) / len(failed) >= _MAJORITY
    clear = count / len(failed) >= _MAJORITY and count >= _FEWEST and site is not None
    return [
        Evidence(
            text=(
                f"{count} of {len(failed)} errors of the database in the last {seconds:.0f} s are {kind} at "
                f"{site or _UNKNOWN}: {_cut(group[0].fingerprint)}"
            ),
            cause=CauseKind.FAILING_DEPENDENCY if lost else CauseKind.ERROR_BURST,
            strength=Strength.CONCLUSIVE if clear or lost else Strength.SUPPORTING,
            place=None if site is None else site.place,
            data={"count": count, "total": len(failed), "kind": kind},
        )
    ]


def unreachable(refused: Sequence[Checkout], seconds: float) -> list[Evidence]:
    """Connections that could not be made.

    Args:
        refused: Checkouts of the last `seconds` that ended without a connection.
        seconds: Length of the window.
    """
    failed = [one for one in refused if not one.exhausted]
    if not failed:
        return []
    (kind, site), count = Counter((one.error, one.site) for one in failed).most_common(1)[0]
    return [
        Evidence(
            text=(
                f"{len(failed)} connections to the database could not be made in the last {seconds:.0f} s, {count} of "
                f"them with {kind}, asked for at {site or _UNKNOWN}"
            ),
            cause=CauseKind.FAILING_DEPENDENCY,
            strength=Strength.CONCLUSIVE,
            place=None if site is None else site.place,
            data={"count": len(failed), "kind": kind},
        )
    ]


@dataclass(frozen=True, slots=True)
class Waits:
    """What is known of those who wait for a connection.

    Attributes:
        waiting: How many wait now.
        longest_s: The longest wait, now or lately, in seconds.
        refused: How many waits ended without a connection lately.
    """

    waiting: int
    longest_s: float
    refused: int


def exhausted(leases: Sequence[Lease], waits: Waits) -> list[Evidence]:
    """Who holds the connections that others wait for.

    A connection that was taken, is not used, and is not given back while others wait is kept for nothing: a leak, or a
    block of code that does something else meanwhile.

    Args:
        leases: The connections that are taken, the longest first.
        waits: Those who wait.
    """
    if not leases:
        return []
    now = perf_counter()
    unused = [lease for lease in leases if lease.idle(now) >= min(_IDLE_S, waits.longest_s)]
    pressing = f"{waits.waiting} wait for one, the longest {waits.longest_s:.1f} s, {waits.refused} were refused"
    if len(unused) >= _MAJORITY * len(leases):
        site, count = Counter(lease.site for lease in unused).most_common(1)[0]
        group = [lease for lease in unused if lease.site == site]
        threads = ", ".join(sorted({lease.thread for lease in group})[:3])
        clear = count >= _MAJORITY * len(leases) and site is not None
        return [
            Evidence(
                text=(
                    f"{count} of {len(leases)} connections were taken at {site or _UNKNOWN} (by {threads}), "
                    f"the oldest {now - group[0].began:.1f} s ago, and are held without a statement for "
                    f"{min(lease.idle(now) for lease in group):.1f} s or longer; {pressing}"
                ),
                cause=CauseKind.CONNECTION_LEAK,
                strength=Strength.CONCLUSIVE if clear else Strength.SUPPORTING,
                place=None if site is None else site.place,
                data={"count": count, "taken": len(leases)},
            )
        ]
    busy = [lease.running for lease in leases if lease.running is not None]
    if not busy:
        return []
    (_, site), count = Counter((one[0], one[1]) for one in busy).most_common(1)[0]
    oldest = max(now - one[2] for one in busy)
    return [
        Evidence(
            text=(
                f"{len(busy)} of {len(leases)} connections run a statement, {count} of them the same one at "
                f"{site or _UNKNOWN}, the oldest for {oldest:.1f} s; {pressing}"
            ),
            cause=CauseKind.SLOW_QUERY,
            strength=Strength.CONCLUSIVE
            if count >= _MAJORITY * len(leases) and oldest >= _IDLE_S and site is not None
            else Strength.SUPPORTING,
            place=None if site is None else site.place,
            data={"count": count, "taken": len(leases)},
        )
    ]


def left_open(leases: Sequence[Lease]) -> list[Evidence]:
    """The transaction that was left open longest without a statement."""
    now = perf_counter()
    found = [lease for lease in leases if lease.opened is not None and lease.running is None]
    if not found:
        return []
    lease = max(found, key=lambda one: one.idle(now))
    site = lease.last_site or lease.site
    return [
        Evidence(
            text=(
                f"a transaction has been open for {now - (lease.opened or now):.0f} s and idle for "
                f"{lease.idle(now):.0f} s in {lease.thread}: its last statement came from {site or _UNKNOWN}, its "
                f"connection was taken at {lease.site or _UNKNOWN}; it keeps its locks and its snapshot until it ends"
            ),
            cause=CauseKind.IDLE_TRANSACTION,
            strength=Strength.CONCLUSIVE if site is not None else Strength.SUPPORTING,
            place=None if site is None else site.place,
            data={"idle_s": round(lease.idle(now), 1)},
        )
    ]


def blocked(waiting: Sequence[Mapping[str, Any]], ours: Mapping[int, Lease]) -> list[Evidence]:
    """Who holds the locks that others wait for.

    Args:
        waiting: As `postgres.locks` returns them.
        ours: The connections of this process that are taken, by the server's process.
    """
    blockers: dict[int, Mapping[str, Any]] = {}
    victims: Counter[int] = Counter()
    waits_itself = {row["pid"] for row in waiting}
    for row in waiting:
        for blocker in row["blocked_by"]:
            blockers[blocker["pid"]] = blocker
            victims[blocker["pid"]] += 1
    # In a queue everybody waits for somebody; who waits for nobody is its head.
    heads = [pid for pid in victims if pid not in waits_itself] or list(victims)
    if not heads:
        return []
    pid = max(heads, key=lambda head: victims[head])
    longest = max(float(row["query_s"] or 0) for row in waiting)
    relation = next((row["relation"] for row in waiting if row["relation"]), None)
    lease = ours.get(pid)
    return [
        Evidence(
            text=(
                f"{len(waiting)} statements wait for locks{f' on {relation}' if relation else ''}, the longest "
                f"{longest:.1f} s; {_describe(blockers[pid], lease)}"
            ),
            cause=CauseKind.LOCK_WAIT,
            strength=Strength.CONCLUSIVE,
            place=_lock_place(lease),
            data={"waiting": len(waiting), "blocker_pid": pid, "longest_s": round(longest, 1)},
        )
    ]


def _lock_place(lease: Lease | None) -> Place | None:
    if lease is None:
        return None
    site = lease.wrote_site or lease.last_site or lease.site
    return None if site is None else site.place


def _describe(blocker: Mapping[str, Any], lease: Lease | None) -> str:
    state = blocker.get("state") or "in an unknown state"
    transaction = blocker.get("transaction_s")
    age = "" if transaction is None else f", in a transaction {float(transaction):.1f} s old"
    who = f"the blocker is server process {blocker['pid']} ({state}{age})"
    query = blocker.get("query")
    statement = f"; its last statement: {_cut(query)}" if query else ""
    if lease is None:
        application = blocker.get("application") or blocker.get("username")
        return f"{who} of {application or 'another client'}, not a connection of this engine{statement}"
    wrote = f"wrote or locked rows at {lease.wrote_site}, " if lease.wrote_site else ""
    return (
        f"{who}, a connection of this process: taken at {lease.site or _UNKNOWN} by {lease.thread}, {wrote}its "
        f"last statement sent at {lease.last_site or _UNKNOWN}{statement}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 2] + ".."
