"""What is usual for each host, and what is not: looked at every few seconds, judged by the sensors."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beamlens.detect import Reading, Severity, Shift
from beamlens.domains.http_client.book import SLOT, Tally
from beamlens.domains.http_client.call import Call
from beamlens.domains.http_client.recorder import CallRecorder
from beamlens.domains.http_client.streak import Streak
from beamlens_actors import clock

_SPAN = 2 * SLOT
_FEWEST = 5
_FEWEST_SLOW = 3
_FEWEST_USUAL = 10
_MOST_WATCHED = 50
_FEWEST_LATE = 4
_LATE_SHARE = 0.3
_LATE = 1.0
_LATE_UNKNOWN = 10.0
_LATE_TIMES = 3.0
_STUCK_TIMES = 5.0
_FEWEST_EVER = 3
_PILED_UP = 20
# Models take half a minute to answer: of a host of which nothing is known yet, more than that is to be expected.
_STRANGE = 20.0
_UNKNOWN_TIMES = 2.0
_QUIET = Reading(active=False)


def _slowness(host: str) -> Shift:
    what = f"p95 of calls to {host} (of a few the third slowest)"
    return Shift(least=0.2, ratio=3.0, recent=4, baseline=60, prior=_STRANGE, unit="s", what=what)


def _failing(host: str) -> Shift:
    what = f"the share of failed calls to {host}"
    return Shift(least=20.0, ratio=3.0, recent=3, unit="%", what=what)


@dataclass(slots=True)
class _Usual:
    """A host's own past."""

    slow: Shift
    failing: Shift
    p95s: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    is_slow: Reading = _QUIET
    fails: Reading = _QUIET

    @property
    def p95(self) -> float | None:
        """Its usual 95th percentile in seconds; ``None`` while too little is known."""
        return statistics.median(self.p95s) if len(self.p95s) >= _FEWEST_USUAL else None


class Watch:
    """Compares what goes out with what is usual. Used by one thread at a time."""

    def __init__(self, recorder: CallRecorder, stuck_after: float) -> None:
        self._recorder = recorder
        self._stuck_after = stuck_after
        self._usual: dict[str, _Usual] = {}
        self._at = float("-inf")
        self._waited = 0.0
        self.slow: list[str] = []
        self.failing: list[str] = []
        self.down: dict[str, Streak] = {}
        self.late: list[Call] = []
        self.stuck: list[Call] = []
        self.readings: dict[str, Reading] = {}
        self.values: dict[str, float | None] = {}

    def update(self) -> dict[str, float | None]:
        """Look, at most once in half a second; returns the numbers for the sensors."""
        now = clock.monotonic()
        if 0 <= now - self._at < 0.5:
            return self.values
        self._at = now
        with self._recorder.reading() as book:
            hosts = book.hosts(_SPAN)
            self.down = book.down()
        busiest = sorted(hosts.items(), key=lambda item: -item[1].took.total)[:_MOST_WATCHED]
        self._judge_hosts(now, busiest)
        under_way = self._recorder.in_flight()
        waiting = [call for call in under_way if call.stage != "body"]
        self._judge_waiting(waiting)
        in_pool = [call.age() for call in waiting if call.stage == "pool"]
        lately = max((tally.waits[2] for tally in hosts.values()), default=0.0)
        self.values = {
            "slow_hosts": float(len(self.slow)),
            "failing_hosts": float(len(self.failing)),
            "late": float(len(self.late)),
            "stuck": float(len(self.stuck)),
            "pool_wait_ms": round(1e3 * max([lately, *in_pool]), 1),
        }
        return self.values

    def usual_p95(self, host: str) -> float | None:
        """A host's usual 95th percentile in seconds, if enough is known."""
        usual = self._usual.get(host)
        return None if usual is None else usual.p95

    # -- hosts -----------------------------------------------------------------------------------------------

    def _judge_hosts(self, now: float, busiest: Sequence[tuple[str, Tally]]) -> None:
        self._forget({host for host, _ in busiest})
        for host, tally in busiest:
            usual = self._usual.get(host)
            if usual is None:
                usual = self._usual[host] = _Usual(_slowness(host), _failing(host))
            failed = tally.failed
            share = 100 * failed / tally.count if failed >= _FEWEST else 0.0
            usual.fails = usual.failing.update(now, share)
            if tally.count < _FEWEST:
                continue
            # One slow call among ten is no change of level: at least three must be.
            p95 = tally.took.percentile(1.0 - max(0.05, (_FEWEST_SLOW - 1) / tally.count)) or 0.0
            usual.is_slow = usual.slow.update(now, p95)
            if not usual.is_slow.active:
                usual.p95s.append(p95)
        self.slow = [host for host, usual in self._usual.items() if usual.is_slow.active]
        self.failing = [host for host, usual in self._usual.items() if usual.fails.active]
        self.slow.sort(key=lambda host: -_times(self._usual[host].is_slow))
        self.failing.sort(key=lambda host: -self._usual[host].fails.data["level"])
        self.readings["slow_host"] = self._usual[self.slow[0]].is_slow if self.slow else _QUIET
        self.readings["failing_host"] = self._usual[self.failing[0]].fails if self.failing else _down(self.down)
        self.failing += [host for host in self.down if host not in self.failing]

    def _forget(self, busy: set[str]) -> None:
        """A host that rests is neither slow nor failing now; make room for new ones."""
        for host, usual in list(self._usual.items()):
            if host not in busy:
                usual.is_slow = usual.fails = _QUIET
                if len(self._usual) > 4 * _MOST_WATCHED:
                    del self._usual[host]

    # -- in flight -------------------------------------------------------------------------------------------

    def _judge_waiting(self, waiting: Sequence[Call]) -> None:
        candidates = [call for call in waiting if call.age() > min(_LATE, self._stuck_after)]
        ever = self._ever({call.host for call in candidates})
        self.late, self.stuck = [], []
        for call in candidates:
            usual, longest = ever.get(call.host, (None, 0.0))
            usual = self.usual_p95(call.host) or usual
            age = call.age()
            if age > (_LATE_UNKNOWN if usual is None else max(_LATE, _LATE_TIMES * usual)):
                self.late.append(call)
            patience = self._stuck_after * (_UNKNOWN_TIMES if usual is None else 1.0)
            if age > max(patience, _STUCK_TIMES * (usual or 0.0), 2 * longest):
                self.stuck.append(call)
        self.readings["hanging_call"] = self._hanging()
        self.readings["pile_up"] = self._piled_up(waiting)

    def _ever(self, hosts: set[str]) -> dict[str, tuple[float, float]]:
        """What is known of hosts with few calls: their p95 and longest of all times."""
        found = {}
        with self._recorder.reading() as book:
            for host in hosts:
                ever = book.ever(host)
                if ever is not None and ever.count >= _FEWEST_EVER:
                    found[host] = ever.percentile(0.95) or 0.0, ever.percentile(1.0) or 0.0
        return found

    def _hanging(self) -> Reading:
        if not self.stuck:
            return _QUIET
        oldest = self.stuck[0]
        without = sum(call.limit == "none" for call in self.stuck)
        usual = self.usual_p95(oldest.host)
        parts = [
            f"{oldest.route} has been under way for {oldest.age():.0f} s without an answer",
            "" if usual is None else f", usually {1e3 * usual:.0f} ms (p95)",
            f"; {len(self.stuck) - 1} more hang" if len(self.stuck) > 1 else "",
            f"; {_of(without, len(self.stuck))} no timeout set" if without else "",
        ]
        severity: Severity = "critical" if len(self.stuck) >= _FEWEST_LATE else "warning"
        data = {"age_s": round(oldest.age(), 1), "hanging": float(len(self.stuck)), "without_timeout": float(without)}
        return Reading(active=True, reason="".join(parts), severity=severity, data=data)

    def _piled_up(self, waiting: Sequence[Call]) -> Reading:
        late = len(self.late)
        if late < max(_FEWEST_LATE, _LATE_SHARE * len(waiting)):
            return _QUIET
        hosts = [call.host for call in self.late]
        host = max(hosts, key=hosts.count)
        reason = (
            f"{late} of {len(waiting)} outgoing calls in flight take longer than usual, "
            f"{hosts.count(host)} of them to {host}, the oldest {self.late[0].age():.1f} s"
        )
        severity: Severity = "critical" if late >= _PILED_UP else "warning"
        data = {"late": float(late), "in_flight": float(len(waiting))}
        return Reading(active=True, reason=reason, severity=severity, data=data)


def _down(hosts: Mapping[str, Streak]) -> Reading:
    """Hosts that are called too seldom for a share to say anything, and fail each time."""
    if not hosts:
        return _QUIET
    host, streak = max(hosts.items(), key=lambda item: item[1].count)
    seconds = streak.latest - streak.began
    reason = f"the last {streak.count} calls to {host}, in {seconds:.0f} s, failed without exception"
    return Reading(active=True, reason=reason, severity="warning", data={"level": 100.0, "calls": float(streak.count)})


def _of(some: int, every: int) -> str:
    if every == 1:
        return "it has"
    return "all of them have" if some == every else f"{some} of them have"


def _times(reading: Reading) -> float:
    return reading.data.get("level", 0.0) / max(1e-3, reading.data.get("baseline", 1.0))
