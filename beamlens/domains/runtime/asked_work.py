"""Callbacks of the `runtime` domain about who works at what: CPU time stands for Erlang's reductions."""

from __future__ import annotations

import time
from typing import Any

from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import callback
from beamlens.domains.runtime import queues
from beamlens.domains.runtime.watch import Watch
from beamlens.evidence import Place
from beamlens.probes import stack_profile, stacks, waits
from beamlens.probes.sampler import sampler
from beamlens.probes.source import line_of
from beamlens.probes.stack_profile import Hot, ThreadCpu, Window

_MOST_MS = 300_000
_TRENDS = ((50.0, "very_high"), (25.0, "high"), (5.0, "moderate"), (0.5, "low"))
_LEAST_BURST_PCT = 5.0
_NOT_YET = "the sampler has not seen anything yet: it runs while this domain is watched; ask again in some seconds"


def windows_of(window_ms: int) -> tuple[list[Window], float]:
    """The sampler's windows that overlap the last `window_ms`, and the seconds that they cover."""
    now = time.monotonic()
    found = sampler.profile.between(now - min(max(window_ms, 100), _MOST_MS) / 1000, now + 1)
    return found, sum(window.seconds for window in found)


class AskedWork:
    """Threads by CPU time, hot lines, where threads wait. From the sampler's history: nothing here waits."""

    watch: Watch

    @callback
    def top_reducers_window(self, limit: int = 10, window_ms: int = 10_000) -> Any:
        """Threads by CPU time over the last window_ms: pid (native id), name, cpu_seconds, cpu_pct (100: one core), at.

        From history kept in pieces of 10 s, so covered_ms may be longer; at most 300000. About 0.1 ms.
        """
        found, seconds = windows_of(window_ms)
        if seconds <= 0:
            return error("not_yet", _NOT_YET)
        burnt = sorted(stack_profile.burners(found).values(), key=lambda one: -one.cpu)
        return {"covered_ms": round(seconds * 1e3), "threads": [_row(one, seconds) for one in burnt[: clamp(limit)]]}

    @callback
    def reduction_rate(self, pid: str, window_ms: int = 10_000) -> Any:
        """One thread's CPU over the last window_ms: cpu_seconds, cpu_pct, trend. pid: its native id or its name.

        trend: very_high from 50 % of a core, high from 25, moderate from 5, low from 0.5, else idle.
        """
        found, seconds = windows_of(window_ms)
        if seconds <= 0:
            return error("not_yet", _NOT_YET)
        burnt = [one for one in stack_profile.burners(found).values() if pid in (one.name, str(one.native_id))]
        alive = [state for state in sampler.states() if pid in (state.name, str(state.native_id))]
        if not alive:
            if burnt:
                return error("process_died", f"thread {pid!r} has ended; it used {burnt[0].cpu:.3f} s of CPU")
            names = ", ".join(sorted({state.name for state in sampler.states()})[:10])
            return error("process_not_found", f"no thread is called {pid!r}; some of those that run: {names}")
        cpu = sum(one.cpu for one in burnt)
        rate = 100 * cpu / seconds
        trend = next((name for least, name in _TRENDS if rate >= least), "idle")
        return {
            "pid": alive[0].native_id,
            "name": alive[0].name,
            "covered_ms": round(seconds * 1e3),
            "cpu_seconds": round(cpu, 4),
            "cpu_pct": round(rate, 2),
            "trend": trend,
        }

    @callback
    def burst_detection(self, window_ms: int = 10_000, pct: int = 200) -> Any:
        """Threads whose CPU rate over the last window_ms is at least pct % of their own rate before, up to 5 minutes.

        Rates are compared, not totals; a burst uses at least 5 % of a core. pct: at least 100. baseline_pct is null
        for a thread that is new.
        """
        found, seconds = windows_of(window_ms)
        if seconds <= 0:
            return error("not_yet", _NOT_YET)
        before = [window for window in sampler.profile.windows.copy() if window.began < found[0].began]
        span = sum(window.seconds for window in before)
        if span <= 0:
            return error("not_yet", f"nothing is known of the time before the last {seconds:.0f} s; ask again")
        was = stack_profile.burners(before)
        rows = []
        for ident, one in stack_profile.burners(found).items():
            rate = 100 * one.cpu / seconds
            old = was.get(ident)
            base = None if old is None or old.native_id != one.native_id else 100 * old.cpu / span
            if rate >= _LEAST_BURST_PCT and (base is None or rate >= base * max(pct, 100) / 100):
                rows.append({**_row(one, seconds), "baseline_pct": None if base is None else round(base, 2)})
        return {
            "covered_ms": round(seconds * 1e3),
            "baseline_ms": round(span * 1e3),
            "bursts": sorted(rows, key=lambda row: -float(row["cpu_pct"]))[:50],
        }

    @callback
    def hot_functions(self, limit: int = 10, window_ms: int = 10_000) -> Any:
        """Lines of the program with most CPU time over the last window_ms: at, code, share, cpu_seconds.

        From the sampler's history while this is watched (at most 300000 ms); else samples for up to 1 s.
        """
        found, seconds = windows_of(window_ms)
        if seconds <= 0:
            return _sampled(min(max(window_ms, 100), 1000) / 1000, clamp(limit))
        return [_hot(one) for one in stack_profile.hottest(found, clamp(limit))]

    @callback
    def hot_changes(self, window_ms: int = 30_000, limit: int = 10) -> Any:
        """What is hot now that was not before: lines whose share of CPU rose, with share and share_before.

        Compares the last window_ms with all before it, up to 5 minutes. About 0.5 ms.
        """
        found, seconds = windows_of(window_ms)
        before = [window for window in sampler.profile.windows.copy() if found and window.began < found[0].began]
        if seconds <= 0 or not before:
            return error("not_yet", f"there are {seconds:.0f} s of history and nothing before them; ask again")
        rows = stack_profile.changes(before, found, clamp(limit))
        return {
            "covered_ms": round(seconds * 1e3),
            "risen": [{**_hot(one), "share_before": round(one.before or 0.0, 3)} for one in rows],
        }

    @callback
    def parked_threads(self, limit: int = 10) -> Any:
        """Where threads stand still: at, code, waits_for (lock, queue, socket, ...), threads, names; most first.

        waits_for is judged by Python's own frames, else by the text of the line. About 10 us a thread.
        """
        if not sampler.threads:
            return error("not_yet", _NOT_YET)
        ours = queues.own_actors()
        rows = waits.parked([state for state in sampler.states() if state.name not in ours], time.monotonic())
        return [
            {"at": _at(place), "code": line_of(place), "waits_for": kind, "threads": len(names), "names": names[:5]}
            for place, kind, names in rows[: clamp(limit)]
        ]


def _at(place: Place) -> str:
    return f"{place.file}:{place.line} {place.function}"


def _hot(one: Hot) -> dict[str, Any]:
    place = Place(file=one.frame.file, line=max(1, one.frame.line), function=one.frame.function)
    return {
        "at": _at(place),
        "code": line_of(place),
        "share": round(one.share, 3),
        "cpu_seconds": round(one.seconds, 3),
    }


def _row(one: ThreadCpu, seconds: float) -> dict[str, Any]:
    state = sampler.threads.get(one.ident)
    frame = state.stack.place if state is not None and state.native_id == one.native_id else None
    return {
        "pid": one.native_id,
        "name": one.name,
        "cpu_seconds": round(one.cpu, 4),
        "cpu_pct": round(100 * one.cpu / seconds, 2),
        "at": None if frame is None else f"{frame.file}:{frame.line} {frame.function}",
    }


def _sampled(seconds: float, limit: int) -> list[dict[str, Any]]:
    counts: dict[Any, int] = {}
    for counter in stacks.sample(seconds).lines.values():
        for frame, count in counter.items():
            counts[frame] = counts.get(frame, 0) + count
    total = max(1, sum(counts.values()))
    top = sorted(counts.items(), key=lambda item: -item[1])[:limit]
    return [{"at": f"{f.file}:{f.line} {f.function}", "share": round(count / total, 3)} for f, count in top]
