"""What the statements of the last minutes add up to: windows, fingerprints, repeats, slow ones, errors."""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter

from beamlens.domains.database.fingerprint import Fingerprints
from beamlens.domains.database.prints import Print, Prints
from beamlens.domains.database.repeats import Repeat, Repeats
from beamlens.domains.database.statement import Finished, Statement
from beamlens.domains.database.totals import WINDOW, Seconds, Totals
from beamlens_actors import clock

SLOW_S = 0.100
_COUNTED_ON = ("UniqueViolation", "IntegrityError")
_MOST_RECENT = 5000
_FEWEST_LATE = 10
_MATTERS = 0.2
_MOST_SLOW = 200
_MOST_ERRORS = 200


class Ledger:
    """Adds up statements. Only Beamlens's own threads call it, so it may lock."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._lock = threading.Lock()
        self._seconds = Seconds()
        self._recent: deque[Statement] = deque(maxlen=_MOST_RECENT)
        self._slow: deque[Statement] = deque(maxlen=_MOST_SLOW)
        self._errors: deque[Statement] = deque(maxlen=_MOST_ERRORS)
        self.prints = Prints(fingerprints)
        self._repeats = Repeats()
        self.folded = 0

    def fold(self, pending: deque[Finished]) -> None:
        """Take all that is pending; 1.5 us each."""
        with self._lock:
            epoch = clock.time() - perf_counter()
            second, totals = -1, Totals()
            for _ in range(len(pending)):
                try:
                    one = pending.popleft()
                except IndexError:
                    return
                at = one[0] + epoch
                if int(at) != second:
                    second = int(at)
                    totals = self._seconds.at(second)
                self._take(one, at, totals)

    def _take(self, one: Finished, at: float, totals: Totals) -> None:
        now, (text, site, began), group, rows, queued, error, lost, request = one
        seconds = now - began
        route = "" if request is None else request.route
        self.folded += 1
        found = self.prints.of(text)
        fingerprint = found.fingerprint
        slower = found.add(seconds, at, rows, site)
        totals.count += 1
        totals.seconds += seconds
        if seconds > totals.most:  # noqa: PLR1730 - a call costs more
            totals.most = seconds
        if slower is not None:
            totals.known += 1
            if slower:
                totals.slower += 1
                totals.late[fingerprint] += 1
        if rows > 0:
            totals.rows += rows
        # What Statement() does, in half the time.
        fields = (at, seconds, fingerprint, site, rows, queued, error, lost, route)
        statement: Statement = tuple.__new__(Statement, fields)
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
            totals.repeated += self._repeats.add((group, fingerprint, site), at, seconds, route)

    # -- reading ---------------------------------------------------------------------------------------------

    def totals(self, seconds: int = WINDOW, *, whole: bool = False) -> Totals:
        """Sums over the last `seconds`, at most 120.

        Args:
            seconds: Length of the window.
            whole: Leave out the second that has only begun.
        """
        with self._lock:
            return self._seconds.window(seconds, whole=whole)

    def recent(self, seconds: float = WINDOW) -> list[Statement]:
        """The statements of the last `seconds`, oldest first; at most 5000."""
        oldest = clock.time() - seconds
        with self._lock:
            return [one for one in self._recent if one.at > oldest]

    def late_pct(self, seconds: int) -> float:
        """In how many percent of its runs the statement that is late most often was late, if that matters.

        It matters from ten late runs and from a fifth of the time that all statements took: one slow statement among
        many quick ones, which a share of all statements does not show.

        Args:
            seconds: Length of the window, which leaves out the second that has only begun.
        """
        late = self.totals(seconds, whole=True).late.most_common(1)
        if not late or late[0][1] < _FEWEST_LATE:
            return 0.0
        fingerprint = late[0][0]
        recent = self.recent(seconds + 1)
        with self._lock:
            found = self.prints.get(fingerprint)
        if found is None:
            return 0.0
        runs = [one.seconds for one in recent if one.fingerprint == fingerprint]
        slow = [took for took in runs if found.is_late(took)]
        matters = sum(slow) >= _MATTERS * sum(one.seconds for one in recent)
        return 100 * len(slow) / len(runs) if slow and matters else 0.0

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
            return self.prints.all()

    def usual(self) -> dict[str, float]:
        """Seconds that each fingerprint usually takes, where that is known."""
        with self._lock:
            return {one.fingerprint: one.usual for one in self.prints.all() if one.learned}

    def repeats(self, seconds: float | None = None) -> list[Repeat]:
        """What is repeated, the most statements first; at most 200."""
        with self._lock:
            return self._repeats.since(float("-inf") if seconds is None else clock.time() - seconds)
