"""Reads that one line sends again and again within one transaction or request: N+1."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from beamlens.probes.call_site import Site

REPEATED = 10
"""From so many identical statements in one transaction or request, from one line, they count as repeated."""
_GAP_S = 2.0
_MOST_RUNS = 2000
_MOST_REPEATS = 200

Key = tuple[int | str, str, Site | None]
"""Transaction or request, fingerprint, line."""


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


class Repeats:
    """Finds what is repeated. Not for several threads: the ledger guards it."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Key, _Run] = OrderedDict()
        self._found: OrderedDict[tuple[str, Site | None], Repeat] = OrderedDict()

    def add(self, key: Key, at: float, seconds: float, route: str) -> int:
        """Take a read; answers how many statements have turned out to be repeated by it.

        Args:
            key: Where it belongs, what it is, who sent it.
            at: When it ended, in seconds since the epoch.
            seconds: How long it took.
            route: Route of its request, if any.
        """
        run = self._runs.get(key)
        if run is None or at - run.latest > _GAP_S:  # a loop that waits, a poll: not one piece of work
            run = self._begin(key)
        run.count += 1
        run.seconds += seconds
        run.latest = at
        if run.count < REPEATED:
            return 0
        found = run.repeat
        if found is None:
            # The first to be known as repeated: those before it were too.
            found = run.repeat = self._find(key[1], key[2])
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
        if run.count > found.most:  # noqa: PLR1730 - a call costs more
            found.most = run.count
        found.latest = at
        return new

    def _begin(self, key: Key) -> _Run:
        self._runs.pop(key, None)  # else it would keep its place, and go as the oldest
        run = self._runs[key] = _Run()
        if len(self._runs) > _MOST_RUNS:
            self._runs.popitem(last=False)
        return run

    def _find(self, fingerprint: str, site: Site | None) -> Repeat:
        key = fingerprint, site
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Repeat(fingerprint, site)
            while len(self._found) > _MOST_REPEATS:
                self._found.popitem(last=False)
        else:
            self._found.move_to_end(key)
        return found

    def since(self, oldest: float) -> list[Repeat]:
        """What was repeated after a time, the most statements first; at most 200."""
        found = [one for one in self._found.values() if one.latest > oldest]
        return sorted(found, key=lambda one: one.statements, reverse=True)
