"""What the statements of the last minutes add up to: windows, fingerprints, repeats, slow ones, errors."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from beamlens.domains.database.fingerprint import Fingerprints, is_read
from beamlens.probes.call_site import Site
from beamlens.probes.request_context import InboundRequest
from beamlens_actors import clock

WINDOW = 60
SLOW_S = 0.100
REPEATED = 10
"""From so many identical statements in one transaction or request, from one line, they count as repeated."""
_REPEAT_GAP_S = 2.0
_LEARNED = 50
_COUNTED_ON = ("UniqueViolation", "IntegrityError")
_MUCH_SLOWER_S = 0.05
_FOLLOWS, _FOLLOWS_SLOWER = 1 / 200, 1 / 5000
_KEPT_SECONDS = 180
_MOST_RECENT = 5000
_MOST_SLOW = 200
_MOST_ERRORS = 200
_MOST_PRINTS = 500
_MOST_TEXTS = 1000
_MOST_RUNS = 2000
_MOST_REPEATS = 200
_MOST_SITES = 8


Finished = tuple[float, float, str, Site | None, int | str, int, float, str, bool, InboundRequest | None]
"""A statement that ended, as it is put down on the host's thread; a plain tuple, since that is half the cost.

- when it ended, on ``time.perf_counter``, and how many seconds it took, as the driver sees it
- its text, cut; the line that sent it
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


@dataclass(slots=True)
class Totals:
    """Sums over a window.

    Attributes:
        known: Statements whose usual time is known.
        slower: Those of them that took far longer.
        faults: Errors but those that programs count on, as when a row is there already.
    """

    count: int = 0
    seconds: float = 0.0
    most: float = 0.0
    slow: int = 0
    errors: int = 0
    rows: int = 0
    repeated: int = 0
    known: int = 0
    slower: int = 0
    faults: int = 0

    def add(self, other: Totals) -> None:
        """Add those of another one."""
        self.count += other.count
        self.seconds += other.seconds
        self.most = max(self.most, other.most)
        self.slow += other.slow
        self.errors += other.errors
        self.rows += other.rows
        self.repeated += other.repeated
        self.known += other.known
        self.slower += other.slower
        self.faults += other.faults


@dataclass(slots=True)
class Print:
    """A fingerprint since recording began; `usual` is its mean time, which follows slowly."""

    fingerprint: str
    reads: bool
    count: int = 0
    seconds: float = 0.0
    most: float = 0.0
    errors: int = 0
    rows: int = 0
    latest: float = 0.0
    usual: float = 0.0
    sites: dict[Site | None, int] = field(default_factory=dict)


@dataclass(slots=True)
class Repeat:
    """A statement that one line sends again and again within one transaction or request."""

    fingerprint: str
    site: Site | None
    runs: int = 0
    statements: int = 0
    seconds: float = 0.0
    most: int = 0
    latest: float = 0.0
    routes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Run:
    count: int = 0
    seconds: float = 0.0
    latest: float = 0.0
    repeat: Repeat | None = None


Key = tuple[int | str, str, Site | None]
"""Transaction or request, fingerprint, line."""


class Ledger:
    """Adds up statements. Only Beamlens's own threads call it, so it may lock."""

    def __init__(self, prints: Fingerprints) -> None:
        self.prints = prints
        self._lock = threading.Lock()
        self._seconds: OrderedDict[int, Totals] = OrderedDict()
        self._recent: deque[Statement] = deque(maxlen=_MOST_RECENT)
        self._slow: deque[Statement] = deque(maxlen=_MOST_SLOW)
        self._errors: deque[Statement] = deque(maxlen=_MOST_ERRORS)
        self._prints: dict[str, Print] = {}
        self._known: dict[str, Print] = {}
        self._runs: OrderedDict[Key, _Run] = OrderedDict()
        self._repeats: OrderedDict[tuple[str, Site | None], Repeat] = OrderedDict()
        self.folded = 0

    def fold(self, pending: deque[Finished]) -> None:
        """Take all that is pending; 2 to 3 us each."""
        with self._lock:
            epoch = clock.time() - perf_counter()
            for _ in range(len(pending)):
                try:
                    one = pending.popleft()
                except IndexError:
                    return
                self._take(one, one[0] + epoch)

    def _take(self, one: Finished, at: float) -> None:
        _, seconds, text, site, group, rows, queued, error, lost, request = one
        route = "" if request is None else request.route
        self.folded += 1
        found = self._known.get(text)
        if found is None:
            found = self._find_print(text)
        fingerprint = found.fingerprint
        totals = self._seconds.get(int(at)) or self._new_second(int(at))
        totals.count += 1
        totals.seconds += seconds
        found.count += 1
        found.seconds += seconds
        found.latest = at
        if found.count <= _LEARNED:
            found.usual += (seconds - found.usual) / found.count
        else:
            totals.known += 1
            # Against its own past: neither another mix of statements nor a nightly job makes all of them slower.
            slower = seconds > 3 * found.usual and seconds > found.usual + _MUCH_SLOWER_S
            totals.slower += slower
            found.usual += (seconds - found.usual) * (_FOLLOWS_SLOWER if slower else _FOLLOWS)
        found.most = max(found.most, seconds)
        totals.most = max(totals.most, seconds)
        if rows > 0:
            totals.rows += rows
            found.rows += rows
        sites = found.sites
        if site in sites or len(sites) < _MOST_SITES:
            sites[site] = sites.get(site, 0) + 1
        statement = Statement(at, seconds, fingerprint, site, rows, queued, error, lost, route)
        self._recent.append(statement)
        if seconds >= SLOW_S:
            totals.slow += 1
            self._slow.append(statement)
        if error:
            totals.errors += 1
            found.errors += 1
            totals.faults += not error.startswith(_COUNTED_ON)
            self._errors.append(statement)
        if found.reads:
            totals.repeated += self._repeated((group, fingerprint, site), at, seconds, route)

    def _new_second(self, second: int) -> Totals:
        totals = self._seconds[second] = Totals()
        while len(self._seconds) > _KEPT_SECONDS:
            self._seconds.popitem(last=False)
        return totals

    def _find_print(self, text: str) -> Print:
        fingerprint = self.prints.of(text)
        found = self._prints.get(fingerprint)
        if found is None:
            found = self._prints[fingerprint] = Print(fingerprint, is_read(fingerprint))
            if len(self._prints) > _MOST_PRINTS:
                self._forget_prints()
        if len(self._known) >= _MOST_TEXTS:
            self._known.clear()
        self._known[text] = found
        return found

    def _forget_prints(self) -> None:
        """Drop the half that was not sent for longest."""
        oldest = sorted(self._prints.values(), key=lambda one: one.latest)
        for one in oldest[: _MOST_PRINTS // 2]:
            if one.latest:
                del self._prints[one.fingerprint]
        self._known.clear()

    def _repeated(self, key: Key, at: float, seconds: float, route: str) -> int:
        """How many statements have turned out to be repeated by this one."""
        run = self._runs.get(key)
        if run is None or at - run.latest > _REPEAT_GAP_S:  # a loop that waits, a poll: not one piece of work
            run = self._runs[key] = _Run()
            if len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        run.count += 1
        run.seconds += seconds
        run.latest = at
        if run.count < REPEATED:
            return 0
        found = run.repeat
        if found is None:
            # The first to be known as repeated: those before it were too.
            found = run.repeat = self._repeat(key[1], key[2])
            found.runs += 1
            found.statements += REPEATED
            found.seconds += run.seconds
            if route:
                found.routes[route] += 1
            new = REPEATED
        else:
            found.statements += 1
            found.seconds += seconds
            new = 1
        found.most = max(found.most, run.count)
        found.latest = at
        return new

    def _repeat(self, fingerprint: str, site: Site | None) -> Repeat:
        key = fingerprint, site
        found = self._repeats.get(key)
        if found is None:
            found = self._repeats[key] = Repeat(fingerprint, site)
            while len(self._repeats) > _MOST_REPEATS:
                self._repeats.popitem(last=False)
        else:
            self._repeats.move_to_end(key)
        return found

    # -- reading ---------------------------------------------------------------------------------------------

    def totals(self, seconds: int = WINDOW, *, whole: bool = False) -> Totals:
        """Sums over the last `seconds`, at most 120.

        Args:
            seconds: Length of the window.
            whole: Leave out the second that has only begun.
        """
        last = int(clock.time()) - (1 if whole else 0)
        found = Totals()
        with self._lock:
            for second, totals in self._seconds.items():
                if last - seconds < second <= last:
                    found.add(totals)
        return found

    def recent(self, seconds: float = WINDOW) -> list[Statement]:
        """The statements of the last `seconds`, oldest first; at most 5000."""
        oldest = clock.time() - seconds
        with self._lock:
            return [one for one in self._recent if one.at > oldest]

    def slow(self) -> list[Statement]:
        """Those of at least 100 ms, newest first; at most 200."""
        with self._lock:
            return list(reversed(self._slow))

    def errors(self, seconds: float | None = None) -> list[Statement]:
        """Those that ended with an error, newest first; at most 200."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        with self._lock:
            return [one for one in reversed(self._errors) if one.at > oldest]

    def fingerprints(self) -> list[Print]:
        """What was sent, by fingerprint; at most 500."""
        with self._lock:
            return list(self._prints.values())

    def usual(self) -> dict[str, float]:
        """Seconds that each fingerprint usually takes, where that is known."""
        with self._lock:
            return {one.fingerprint: one.usual for one in self._prints.values() if one.count > _LEARNED}

    def repeats(self, seconds: float | None = None) -> list[Repeat]:
        """What is repeated, the most statements first; at most 200."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        with self._lock:
            found = [one for one in self._repeats.values() if one.latest > oldest]
        return sorted(found, key=lambda one: one.statements, reverse=True)


def percentile(values: Iterable[float], share: float) -> float | None:
    """A percentile by linear interpolation between the nearest ranks; ``None`` of nothing.

    Args:
        values: The values, in any order.
        share: 0.95 for the 95th percentile.
    """
    ranked: Sequence[float] = sorted(values)
    if not ranked:
        return None
    position = share * (len(ranked) - 1)
    below = int(position)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (position - below)


def milliseconds(seconds: float) -> float:
    """As it is shown: two decimals."""
    return round(1e3 * seconds, 2)
