"""Thread pools of ``concurrent.futures``, asyncio's default one among them: their threads and what is queued."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

_MOST_POOLS = 200


@dataclass(frozen=True, slots=True)
class Pool:
    """A thread pool now.

    Attributes:
        name: Prefix of its threads' names.
        queued: Tasks that no thread has taken yet.
        idents: Its threads.
        most: How many threads it may have; ``None`` when it is gone and its threads finish what is queued.
    """

    name: str
    queued: int
    idents: tuple[int, ...]
    most: int | None


def pools() -> list[Pool]:
    """Every pool that has threads, by the table that ``concurrent.futures`` keeps of them; about 1 us a thread.

    A pool that was just made has no threads and is not seen. Loads nothing: no pool exists before that module does.
    """
    module = sys.modules.get("concurrent.futures.thread")
    table = getattr(module, "_threads_queues", None)
    found: dict[int, tuple[Any, list[Any]]] = {}
    for thread, queue in _items(table):
        if queue is not None and thread.is_alive():
            found.setdefault(id(queue), (queue, []))[1].append(thread)
    return [_pool(queue, threads) for queue, threads in list(found.values())[:_MOST_POOLS]]


def _items(table: Any) -> list[tuple[Any, Any]]:
    for _ in range(3):
        try:
            return [] if table is None else list(table.items())
        except RuntimeError:  # it changed meanwhile
            continue
    return []


def _pool(queue: Any, threads: list[Any]) -> Pool:
    executor = _executor(threads[0])
    prefix = getattr(executor, "_thread_name_prefix", None) or threads[0].name.rpartition("_")[0] or threads[0].name
    most = getattr(executor, "_max_workers", None)
    idents = tuple(thread.ident for thread in threads if thread.ident is not None)
    # One that is gone has put a sign into the queue that its threads shall end.
    queued = queue.qsize() if executor is not None else max(0, queue.qsize() - 1)
    return Pool(str(prefix), queued, idents, most if type(most) is int else None)


def _executor(thread: Any) -> Any:
    """A worker's first argument is a weak reference to its executor; the arguments go when the thread ends."""
    arguments = getattr(thread, "_args", None)
    reference = arguments[0] if type(arguments) is tuple and arguments else None
    try:
        return reference() if callable(reference) else None
    except Exception:  # noqa: BLE001 - not what it was thought to be
        return None
