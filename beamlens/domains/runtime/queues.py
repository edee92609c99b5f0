"""Whatever waits in line: actors' mailboxes, thread pools' tasks, ready queues of event loops, queues that are held."""

from __future__ import annotations

import queue
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from beamlens.probes import executors
from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file
from beamlens.probes.loops import loops
from beamlens_actors import clock, pykka_registry

LARGE, CRITICAL = 1000, 10_000
_MOST_NOTED = 100
_MOST_ACTORS = 20_000
_MOST_OBJECTS = 20_000
_HISTORY = 300
_QUEUES: tuple[type, ...] = (queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Line:
    """Something with messages in line.

    Attributes:
        kind: ``actor``, ``executor``, ``event loop`` or ``queue``.
        name: What a person calls it.
        size: Messages or tasks that wait.
    """

    kind: str
    name: str
    size: int

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "name": self.name, "message_queue": self.size}


def own_actors() -> set[str]:
    """Names of the actors that Beamlens itself runs."""
    return {str(ref.name) for ref in pykka_registry.running() if _is_own(ref)}


def _is_own(ref: Any) -> bool:
    return is_own_module(getattr(ref.actor_class, "__module__", ""))


def now(*, held: bool = True) -> list[Line]:
    """All of them, the longest first.

    Args:
        held: With the queues that modules of the program hold; about 1 ms.
    """
    found = [*_actors(), *(Line("executor", pool.name, pool.queued) for pool in executors.pools())]
    found += [Line("event loop", loop.thread, loop.ready) for loop in loops.states() if loop.ready is not None]
    if held:
        found += _held()
    return sorted(found, key=lambda line: -line.size)


def _actors() -> Iterator[Line]:
    for ref in pykka_registry.running()[:_MOST_ACTORS]:
        if _is_own(ref):
            continue
        inbox: Any = ref.actor_inbox
        # Pykka's own actors have a queue, ours a mailbox.
        size = inbox.qsize() if isinstance(inbox, queue.Queue) else inbox.stats().size
        yield Line("actor", str(getattr(ref, "name", ref.actor_urn)), size)


def _held() -> Iterator[Line]:
    """Queues in the globals of the program's modules, and in the attributes of what these hold."""
    seen: set[int] = set()
    budget = _MOST_OBJECTS
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) if type(module) is ModuleType else None
        if type(file) is not str or is_own_module(name) or is_standard_file(file) or is_library_file(file):
            continue
        for variable, value in list(vars(module).items()):
            for path, one in ((variable, value), *((f"{variable}.{key}", item) for key, item in _attributes(value))):
                budget -= 1
                if budget < 0:
                    return
                if _is_queue(one) and id(one) not in seen:
                    seen.add(id(one))
                    yield Line("queue", f"{name}.{path}", one.qsize())


def _attributes(value: Any) -> list[tuple[str, Any]]:
    if type(value) in (ModuleType, type) or type(value).__module__ == "concurrent.futures.thread":
        return []  # an executor's queue is told as the executor's
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 - it has none of its own
        return []
    return list(found.items()) if type(found) is dict else []


def _is_queue(value: Any) -> bool:
    kind = type(value)
    if kind in _QUEUES:
        return True
    module = sys.modules.get("asyncio.queues")
    return module is not None and kind in (module.Queue, module.PriorityQueue, module.LifoQueue)


class QueueHistory:
    """What was in line each second of the last five minutes; the 100 longest of each look."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[tuple[str, str], int]]] = deque(maxlen=_HISTORY)

    def note(self) -> None:
        """Look now."""
        at = clock.monotonic()
        if self._looks and at - self._looks[-1][0] < 0.5:
            return
        lines = [line for line in now(held=False) if line.size][:_MOST_NOTED]
        sizes: dict[tuple[str, str], int] = {}
        for line in lines:
            key = (line.kind, line.name)
            sizes[key] = sizes.get(key, 0) + line.size
        self._looks.append((at, sizes))

    def growth(self, seconds: float) -> tuple[float, list[tuple[str, str, int, int]]]:
        """What grew: (kind, name, size before, size now), the most first, and over how many seconds that was."""
        looks = self._looks.copy()
        if len(looks) < 2:
            return 0.0, []
        last_at, last = looks[-1]
        first_at, first = next(((at, sizes) for at, sizes in reversed(looks) if last_at - at >= seconds), looks[0])
        grown = [(*key, first.get(key, 0), size) for key, size in last.items() if size > first.get(key, 0)]
        return last_at - first_at, sorted(grown, key=lambda row: row[2] - row[3])
