"""From evidence to a verdict: which cause the facts carry, which they exclude."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from beamlens.evidence import CauseKind, Evidence, Place, Strength

NAMES: dict[str, str] = {
    CauseKind.MEMORY_LEAK: "memory leak",
    CauseKind.DESCRIPTOR_LEAK: "descriptor leak",
    CauseKind.THREAD_PILE_UP: "threads that pile up",
    CauseKind.GIL_HOG: "a thread that hogs the GIL",
    CauseKind.FAILING_DEPENDENCY: "a failing dependency",
    CauseKind.EXCEPTION_BURST: "a burst of exceptions",
    CauseKind.ERROR_BURST: "a burst of errors",
    CauseKind.UNCAUGHT_EXCEPTION: "an exception that nobody caught",
    CauseKind.RESOURCE_LIMIT: "a resource near its limit",
    CauseKind.SLOW_LINE: "a line that requests wait at",
    CauseKind.SLOW_QUERY: "a slow query",
    CauseKind.REPEATED_QUERIES: "queries repeated in a loop",
    CauseKind.SLOW_DEPENDENCY: "a slow dependency",
    CauseKind.BLOCKED_LOOP: "a blocked event loop",
    CauseKind.QUEUE_OVERLOAD: "a queue that grows faster than it drains",
    CauseKind.CONNECTION_LEAK: "database connections that are not given back",
    CauseKind.IDLE_TRANSACTION: "a transaction that was left open",
    CauseKind.LOCK_WAIT: "a lock in the database that others wait for",
    CauseKind.CACHE_THRASH: "a cache that no longer answers",
    CauseKind.GC_PRESSURE: "pressure on the garbage collector",
    CauseKind.THREAD_LOCK: "threads that wait for a lock",
    CauseKind.POOL_EXHAUSTED: "a thread pool whose threads are all stuck",
    CauseKind.QUEUE_GROWTH: "a queue that is filled faster than it is emptied",
    CauseKind.TASK_PILE_UP: "tasks that pile up",
    CauseKind.LONG_GC: "long garbage collections",
    CauseKind.HTTP_POOL_EXHAUSTED: "a pool of HTTP connections that has none left",
    CauseKind.CRASH_LOOP: "a worker that crashes again and again",
    CauseKind.ZOMBIE_PROCESSES: "ended child processes that nobody waits for",
}

# A cause on the left brings about symptoms that look like those on the right: each waiting thread holds a stack and
# often a socket; errors are logged and raised by what fails underneath.
_EXPLAINS: dict[str, frozenset[str]] = {
    CauseKind.THREAD_PILE_UP: frozenset({CauseKind.DESCRIPTOR_LEAK, CauseKind.MEMORY_LEAK, CauseKind.ERROR_BURST}),
    CauseKind.FAILING_DEPENDENCY: frozenset({CauseKind.ERROR_BURST, CauseKind.EXCEPTION_BURST}),
    CauseKind.DESCRIPTOR_LEAK: frozenset({CauseKind.MEMORY_LEAK}),
    CauseKind.EXCEPTION_BURST: frozenset({CauseKind.ERROR_BURST}),
    CauseKind.GIL_HOG: frozenset({CauseKind.ERROR_BURST}),
    CauseKind.BLOCKED_LOOP: frozenset({CauseKind.SLOW_LINE, CauseKind.TASK_PILE_UP, CauseKind.ERROR_BURST}),
    CauseKind.REPEATED_QUERIES: frozenset({CauseKind.SLOW_QUERY, CauseKind.SLOW_LINE}),
    CauseKind.SLOW_QUERY: frozenset({CauseKind.SLOW_LINE, CauseKind.QUEUE_OVERLOAD}),
    CauseKind.SLOW_DEPENDENCY: frozenset(
        {CauseKind.SLOW_LINE, CauseKind.QUEUE_OVERLOAD, CauseKind.HTTP_POOL_EXHAUSTED, CauseKind.THREAD_PILE_UP}
    ),
    CauseKind.QUEUE_OVERLOAD: frozenset({CauseKind.MEMORY_LEAK, CauseKind.QUEUE_GROWTH, CauseKind.TASK_PILE_UP}),
    CauseKind.GC_PRESSURE: frozenset({CauseKind.LONG_GC}),
    CauseKind.HTTP_POOL_EXHAUSTED: frozenset({CauseKind.SLOW_LINE, CauseKind.THREAD_PILE_UP}),
    CauseKind.CRASH_LOOP: frozenset({CauseKind.EXCEPTION_BURST, CauseKind.ERROR_BURST, CauseKind.UNCAUGHT_EXCEPTION}),
    # Who cannot get a connection or a lock waits, piles up, and gives up with an error.
    CauseKind.CONNECTION_LEAK: frozenset(
        {CauseKind.FAILING_DEPENDENCY, CauseKind.EXCEPTION_BURST, CauseKind.ERROR_BURST, CauseKind.THREAD_PILE_UP}
        | {CauseKind.SLOW_LINE, CauseKind.IDLE_TRANSACTION}
    ),
    CauseKind.LOCK_WAIT: frozenset(
        {CauseKind.FAILING_DEPENDENCY, CauseKind.EXCEPTION_BURST, CauseKind.ERROR_BURST, CauseKind.THREAD_PILE_UP}
        | {CauseKind.SLOW_QUERY, CauseKind.SLOW_LINE, CauseKind.CONNECTION_LEAK, CauseKind.IDLE_TRANSACTION}
    ),
    CauseKind.THREAD_LOCK: frozenset(
        {
            CauseKind.POOL_EXHAUSTED,
            CauseKind.QUEUE_GROWTH,
            CauseKind.QUEUE_OVERLOAD,
            CauseKind.THREAD_PILE_UP,
            CauseKind.SLOW_LINE,
            CauseKind.ERROR_BURST,
        }
    ),
    CauseKind.POOL_EXHAUSTED: frozenset(
        {CauseKind.QUEUE_GROWTH, CauseKind.QUEUE_OVERLOAD, CauseKind.TASK_PILE_UP, CauseKind.ERROR_BURST}
    ),
}

# How little a cause leaves open about what to mend, the least first. Two that are seen at the same place are one
# trouble, seen twice: the one that says more is kept. A word of a domain's own says most: its maker knows the program.
_SPECIFIC: tuple[str, ...] = (
    CauseKind.REPEATED_QUERIES,
    CauseKind.IDLE_TRANSACTION,
    CauseKind.LOCK_WAIT,
    CauseKind.CONNECTION_LEAK,
    CauseKind.CACHE_THRASH,
    CauseKind.GC_PRESSURE,
    CauseKind.SLOW_QUERY,
    CauseKind.FAILING_DEPENDENCY,
    CauseKind.SLOW_DEPENDENCY,
    CauseKind.HTTP_POOL_EXHAUSTED,
    CauseKind.CRASH_LOOP,
    CauseKind.UNCAUGHT_EXCEPTION,
    CauseKind.ZOMBIE_PROCESSES,
    CauseKind.THREAD_LOCK,
    CauseKind.BLOCKED_LOOP,
    CauseKind.GIL_HOG,
    CauseKind.LONG_GC,
    CauseKind.POOL_EXHAUSTED,
    CauseKind.QUEUE_OVERLOAD,
    CauseKind.QUEUE_GROWTH,
    CauseKind.TASK_PILE_UP,
    CauseKind.THREAD_PILE_UP,
    CauseKind.DESCRIPTOR_LEAK,
    CauseKind.MEMORY_LEAK,
    CauseKind.SLOW_LINE,
    CauseKind.EXCEPTION_BURST,
    CauseKind.ERROR_BURST,
    CauseKind.RESOURCE_LIMIT,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cause at a place, with the evidence for it."""

    cause: str
    place: Place | None
    pieces: tuple[Evidence, ...]

    @property
    def conclusive(self) -> bool:
        """Whether a piece explains its symptom by itself."""
        return any(piece.strength == Strength.CONCLUSIVE for piece in self.pieces)

    @property
    def text(self) -> str:
        """The cause in a sentence: its name, its place, its strongest fact."""
        name = NAMES.get(self.cause, self.cause.replace("_", " "))
        where = f" at {self.place}" if self.place else ""
        strongest = next((p for p in self.pieces if p.strength == Strength.CONCLUSIVE), self.pieces[0])
        return f"{name[0].upper()}{name[1:]}{where}: {strongest.text}"


def candidates(evidence: Iterable[Evidence]) -> list[Candidate]:
    """Causes that something speaks for, the best first: conclusive before supporting, with a place before without.

    Pieces of one cause count together when they agree on the place or have none.
    """
    by_cause: dict[str, list[Evidence]] = {}
    for piece in evidence:
        if piece.strength not in (Strength.EXCLUDES, Strength.CONTEXT):
            by_cause.setdefault(piece.cause, []).append(piece)
    found = [candidate for cause, pieces in by_cause.items() for candidate in _split(cause, pieces)]
    return sorted(found, key=lambda c: (not c.conclusive, c.place is None, -len(c.pieces)))


def _split(cause: str, pieces: Sequence[Evidence]) -> list[Candidate]:
    places: dict[tuple[str, int], list[Evidence]] = {}
    loose = []
    for piece in pieces:
        if piece.place is None:
            loose.append(piece)
        else:
            places.setdefault((piece.place.file, piece.place.line), []).append(piece)
    if not places:
        return [Candidate(cause, None, tuple(loose))]
    extra = loose if len(places) == 1 else []
    return [Candidate(cause, held[0].place, (*held, *extra)) for held in places.values()]


def excluded(evidence: Iterable[Evidence]) -> list[Evidence]:
    """What speaks against causes, one piece a cause."""
    found: dict[str, Evidence] = {}
    for piece in evidence:
        if piece.strength == Strength.EXCLUDES:
            found.setdefault(piece.cause, piece)
    return list(found.values())


def explains(cause: Candidate, symptom: Candidate) -> bool:
    """Whether `cause` accounts for what `symptom` was concluded from: by kind, or at the very same line."""
    if symptom.cause in _EXPLAINS.get(cause.cause, frozenset()):
        return True
    same = cause.place is not None and symptom.place is not None and _line(cause.place) == _line(symptom.place)
    return same and cause.conclusive and not (symptom.conclusive and symptom.cause == CauseKind.FAILING_DEPENDENCY)


def same_cause(first: Candidate, second: Candidate) -> bool:
    """Whether they are of one kind, and at one line where both know theirs."""
    if first.cause != second.cause:
        return False
    return first.place is None or second.place is None or _line(first.place) == _line(second.place)


def owns(cause: Candidate, other: Candidate) -> bool:
    """Whether `other` is a consequence of `cause`, or the same trouble seen from elsewhere and told less exactly.

    By kind, if what explains it is conclusive; or at the same place (the line, or the function: a look at a loop finds
    now one of its lines, now another), where the more specific one of two that are equally sure owns the other. Never
    both ways.
    """
    if cause.conclusive < other.conclusive:
        return False
    forth, back = (b.cause in _EXPLAINS.get(a.cause, frozenset()) for a, b in ((cause, other), (other, cause)))
    if forth != back:
        return forth and cause.conclusive
    if cause.cause == other.cause or not _same_place(cause.place, other.place):
        return False
    return cause.conclusive > other.conclusive or _rank(cause.cause) < _rank(other.cause)


def _rank(cause: str) -> int:
    return _SPECIFIC.index(cause) if cause in _SPECIFIC else -1


def _same_place(first: Place | None, second: Place | None) -> bool:
    if first is None or second is None or first.file != second.file:
        return False
    return first.line == second.line or (first.function == second.function != "")


def _line(place: Place) -> tuple[str, int]:
    return place.file, place.line
