"""Thread pools of ``concurrent.futures``, asyncio's default one among them: their threads and what is queued."""

from __future__ import annotations

import gc
import itertools
import queue
import sys
from dataclasses import dataclass
from typing import Any

from beamlens.probes import own_threads

_MOST_POOLS = 200
_MOST_READ = 20_000


@dataclass(frozen=True, slots=True)
class Pool:
    """A thread pool now.

    Attributes:
        name: Prefix of its threads' names.
        queued: Tasks that no thread has taken yet.
        idents: Its threads.
        most: How many threads it may have; ``None`` when it is gone and its threads finish what is queued.
        key: Its own, for as long as it lives.
    """

    name: str
    queued: int
    idents: tuple[int, ...]
    most: int | None
    key: int


def pools() -> list[Pool]:
    """Every pool that has threads, by the table that ``concurrent.futures`` keeps of them; about 2 us a thread.

    A pool that was just made has no threads and is not seen. Loads nothing: no pool exists before that module does.
    """
    return [_pool(work, threads) for work, threads in list(_by_queue().values())[:_MOST_POOLS]]


def content(key: int, most: int = 50) -> list[Any]:
    """Some of what is queued in a pool, the next ones first; let go of them soon. Nothing of one with over 20 000."""
    work, _threads = _by_queue().get(key, (None, []))
    return [] if work is None or work.qsize() > _MOST_READ else _peek(work, most)


def _by_queue() -> dict[int, tuple[Any, list[Any]]]:
    module = sys.modules.get("concurrent.futures.thread")
    found: dict[int, tuple[Any, list[Any]]] = {}
    for thread, work in _items(getattr(module, "_threads_queues", None)):
        ours = own_threads.is_own(thread.ident or 0, thread.name)
        if type(work) is queue.SimpleQueue and thread.is_alive() and not ours:
            found.setdefault(id(work), (work, []))[1].append(thread)
    return found


def _peek(work: Any, most: int) -> list[Any]:
    """Items of a SimpleQueue, which cannot be looked into but by the interpreter's own traversal."""
    found: list[Any] = []
    for item in gc.get_referents(work):
        if type(item) is list:  # until 3.12 they are in a list, from 3.13 on in a ring of its own
            # What was taken from its front is None until it is made shorter.
            found += itertools.islice((one for one in item if one is not None), most)
        elif not issubclass(type(item), type):
            found.append(item)
        if len(found) >= most:
            break
    return found[:most]


def _items(table: Any) -> list[tuple[Any, Any]]:
    for _ in range(3):
        try:
            return [] if table is None else list(table.items())
        except RuntimeError:  # it changed meanwhile
            continue
    return []


def _pool(work: Any, threads: list[Any]) -> Pool:
    executor = _executor(threads[0])
    prefix = getattr(executor, "_thread_name_prefix", None) or threads[0].name.rpartition("_")[0] or threads[0].name
    most = getattr(executor, "_max_workers", None)
    idents = tuple(thread.ident for thread in threads if thread.ident is not None)
    # One that is gone has put a sign into the queue that its threads shall end.
    queued = work.qsize() if executor is not None else max(0, work.qsize() - 1)
    return Pool(str(prefix), queued, idents, most if type(most) is int else None, id(work))


def _executor(thread: Any) -> Any:
    """A worker's first argument is a weak reference to its executor; the arguments go when the thread ends."""
    arguments = getattr(thread, "_args", None)
    reference = arguments[0] if type(arguments) is tuple and arguments else None
    try:
        return reference() if callable(reference) else None
    except Exception:  # noqa: BLE001 - not what it was thought to be
        return None
