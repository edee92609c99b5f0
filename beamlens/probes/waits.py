"""What a thread that stands still waits for, and who holds the lock that it waits for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from beamlens.evidence import Place
from beamlens.probes import frames, source
from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack
from beamlens.probes.sampler import SampledThread

Kind = Literal[
    "lock", "semaphore", "condition", "event", "queue", "future", "join", "sleep", "socket", "select", "process",
    "mailbox", "idle worker", "event loop", "call",
]  # fmt: skip

_BY_MODULE: dict[str, Kind] = {
    "queue": "queue", "selectors": "select", "select": "select", "socket": "socket", "ssl": "socket",
    "http.client": "socket", "socketserver": "socket", "subprocess": "process", "multiprocessing.popen_fork": "process",
    "multiprocessing.connection": "socket", "concurrent.futures.thread": "idle worker",
}  # fmt: skip
_THREADING: tuple[tuple[str, Kind], ...] = (
    ("join", "join"), ("_wait_for_tstate_lock", "join"), ("Event.wait", "event"), ("Semaphore", "semaphore"),
    ("Barrier", "event"), ("__enter__", "lock"), ("acquire", "lock"),
)  # fmt: skip
_BY_CALL: tuple[tuple[str, Kind], ...] = (
    (r"\.acquire\(", "lock"), (r"\bsleep\(", "sleep"), (r"\.(recv\w*|accept|connect|send\w*|read\w*)\(", "socket"),
    (r"\.(get|put)\(", "queue"), (r"\.(join|result)\(", "join"), (r"\b(select|poll)\(", "select"),
    (r"\.(wait|communicate)\(", "event"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as far as the source tells.

    Attributes:
        thread: Name of the thread.
        place: Its line inside the block.
        stands: The line at which it stands now, further inwards.
        kind: What it waits for there; ``""`` while it works.
    """

    thread: str
    place: Place
    stands: Place
    kind: str


@dataclass(frozen=True, slots=True)
class LockGroup:
    """Threads that wait for one lock, by where they wait.

    Attributes:
        place: The line at which they wait.
        lock: The lock as the line calls it, ``""`` where the source does not tell.
        threads: Names of the threads, the one that waits longest first.
        idents: Their idents.
        seconds: How long the first one waits.
        holder: Who stands inside a block that holds it, if that is seen.
    """

    place: Place
    lock: str
    threads: tuple[str, ...]
    idents: tuple[int, ...]
    seconds: float
    holder: Holder | None


def kind_of(stack: Stack) -> Kind:
    """What a thread that stands still waits for, by Python's own frames, else by the text of the line."""
    found = stack.frames
    if not found:
        return "call"
    first = found[0]
    if stack.in_loop and not stack.loop_busy:
        return "event loop"
    if first.module == "threading":
        return _in_threading(found)
    if first.module.startswith("beamlens_actors"):
        return "mailbox"
    if first.module in _BY_MODULE:
        return _BY_MODULE[first.module]
    return _by_text(first)


def _in_threading(found: Sequence[Frame]) -> Kind:
    own = [frame for frame in found if frame.module == "threading"]
    caller = next((frame for frame in found if frame.module != "threading"), None)
    if caller is not None and caller.module == "queue":
        return "queue"
    if caller is not None and caller.module == "concurrent.futures._base":
        return "future"
    for part, kind in _THREADING:
        if any(part in frame.function for frame in own):
            return kind
    return "condition"


def _by_text(frame: Frame) -> Kind:
    if frame.line < 1:
        return "call"
    text = source.line_of(Place(file=frame.file, line=frame.line, function=frame.function))
    if text.startswith("with "):
        return "lock"
    for pattern, kind in _BY_CALL:
        if re.search(pattern, text):
            return kind
    return "call"


def lock_groups(threads: Iterable[SampledThread], now: float, least: float) -> list[LockGroup]:
    """Threads that have waited for a lock for `least` seconds or more, by place, the longest wait first.

    Args:
        threads: All threads of the program.
        now: On the monotonic clock.
        least: Seconds.
    """
    everyone = list(threads)
    groups: dict[tuple[Place, str], list[SampledThread]] = {}
    for thread in everyone:
        if thread.parked(now) >= least and thread.stack.place is not None and kind_of(thread.stack) == "lock":
            place = _place(thread.stack.place)
            groups.setdefault((place, lock_at(place)), []).append(thread)
    found = []
    for (place, lock), waiting in groups.items():
        waiting.sort(key=lambda thread: thread.since)
        names = tuple(thread.name for thread in waiting)
        idents = tuple(thread.ident for thread in waiting)
        others = [thread for thread in everyone if thread not in waiting]
        holder = find_holder(place, lock, others, now) if lock else None
        found.append(LockGroup(place, lock, names, idents, now - waiting[0].since, holder))
    return sorted(found, key=lambda group: -group.seconds)


def _place(frame: Frame) -> Place:
    return Place(file=frame.file, line=max(1, frame.line), function=frame.function)


def lock_at(place: Place) -> str:
    """The lock that a line takes, as its source calls it: of ``with LOCK:`` or ``LOCK.acquire()``; else ``""``."""
    parsed = source.parse(place.file)
    if parsed is None:
        return ""
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.With) and node.lineno <= place.line <= _end(node.items[-1].context_expr, node):
            return ast.unparse(node.items[0].context_expr)
        if _calls(node, "acquire") and node.lineno <= place.line <= (node.end_lineno or node.lineno):
            return ast.unparse(node.func.value)
    return ""


def _calls(node: ast.AST, *names: str) -> TypeGuard[_MethodCall]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names


class _MethodCall(ast.Call):
    """Only for the type checker."""

    func: ast.Attribute  # pyright: ignore[reportIncompatibleVariableOverride]


def _inside(node: ast.With, line: int) -> bool:
    return node.body[0].lineno <= line <= (node.end_lineno or 0)


def _takes(node: ast.With, lock: str) -> bool:
    return any(ast.unparse(item.context_expr) == lock for item in node.items)


def _end(expression: ast.expr, statement: ast.stmt) -> int:
    return expression.end_lineno or statement.lineno


def find_holder(place: Place, lock: str, others: Iterable[SampledThread], now: float) -> Holder | None:
    """A thread that stands inside a block which holds a lock of that name, in the same file; innermost frames first.

    By the source: CPython does not tell who holds a plain lock. An instance's lock (``self.lock``) may be another
    instance's.
    """
    for thread in others:
        for frame in thread.stack.frames:
            if frame.file == place.file and _holds(frame, lock):
                stands = frames.user_frame(thread.stack.frames) or frame
                waits = thread.parked(now) > 0.0 or thread.stack.waits
                kind = kind_of(thread.stack) if waits else ""
                return Holder(thread.name, _place(frame), _place(stands), kind)
    return None


def _holds(frame: Frame, lock: str) -> bool:
    """Whether a line is inside ``with lock:``, or comes after ``lock.acquire()`` in its function, unreleased."""
    parsed = source.parse(frame.file)
    if parsed is None:
        return False
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.With) and _inside(node, frame.line) and _takes(node, lock):
            return True
    function = next((node for name, node in parsed.functions if name == frame.function), None)
    if function is None:
        return False
    calls = [
        (node.lineno, node.func.attr)
        for node in ast.walk(function)
        if _calls(node, "acquire", "release") and node.lineno < frame.line and ast.unparse(node.func.value) == lock
    ]
    return bool(calls) and max(calls)[1] == "acquire"


def parked(threads: Iterable[SampledThread], now: float, least: float = 1.0) -> list[tuple[Place, Kind, list[str]]]:
    """Where threads stand still: line, what they wait for, names; the line with most threads first."""
    found: dict[tuple[Place, Kind], list[str]] = {}
    for thread in threads:
        frame = thread.stack.place or (thread.stack.frames[-1] if thread.stack.frames else None)
        if frame is not None and thread.parked(now) >= least:
            found.setdefault((_place(frame), kind_of(thread.stack)), []).append(thread.name)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    return [(place, kind, names) for (place, kind), names in ranked]
