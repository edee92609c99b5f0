"""The default backend: a daemon thread an actor."""

from __future__ import annotations

import logging
import os
import threading
from _thread import allocate_lock
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from beamlens_actors import context, pykka_registry
from beamlens_actors.cell import Outcome
from beamlens_actors.errors import ActorLimit, InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from beamlens_actors.cell import Cell

logger = logging.getLogger("beamlens_actors")

R = TypeVar("R")

_modules: dict[int, str] = {}


def is_actor_thread(ident: int | None = None) -> bool:
    """Whether the thread of `ident` (default: the calling one) was started by this library.

    True for the threads of actors, abandoned ones too, the timer thread, and what `spawn` started.
    """
    active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]  # noqa: SLF001 - without a lock
    return isinstance(active.get(threading.get_ident() if ident is None else ident), _LibraryThread)


class _LibraryThread(threading.Thread):
    """A thread that this library started, known as such from its first moment on."""


def spawn(fn: Callable[[], object], name: str) -> threading.Thread:
    """Run `fn` on a daemon thread that `is_actor_thread` knows.

    Raises:
        RuntimeError: the system gives no more threads.
    """
    thread = _LibraryThread(target=fn, name=name, daemon=True)
    thread.start()
    return thread


def actor_module(ident: int) -> str | None:
    """The module of the class of the actor that runs on a thread now; `None`: none that has a thread of its own."""
    return _modules.get(ident)


class _Begun:
    """In place of the `threading.Event` that a thread's `start` waits for: who starts an actor waits for `on_start`."""

    __slots__ = ("_flag",)

    def __init__(self) -> None:
        self._flag = False

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the event's own signature
        return True

    def _at_fork_reinit(self) -> None:
        pass


class Handle(Protocol):
    """An actor's time on a thread."""

    @property
    def thread(self) -> threading.Thread | None:
        """The thread; `None` before `start`."""
        ...

    def start(self) -> None:
        """Begin.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        ...

    def join(self) -> None:
        """Wait until it is over."""
        ...

    def is_alive(self) -> bool:
        """Whether it is not over."""
        ...


class ActorThread(_LibraryThread):
    """The thread of one actor. Its `start` does not wait until it runs, which takes as long as all the rest."""

    def __init__(self, run: Callable[[], object], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._run_actor = run
        self._started: Any = _Begun()

    @property
    def thread(self) -> threading.Thread:
        """See `Handle.thread`."""
        return self

    def run(self) -> None:
        """See `threading.Thread.run`."""
        try:
            self._run_actor()
        finally:
            del self._run_actor


class ThreadWaker:
    """Parks the actor's thread on a bare lock: the cheapest hand-over there is."""

    __slots__ = ("_token", "sleeping")

    def __init__(self) -> None:
        self.sleeping = False
        self._token = allocate_lock()
        self._token.acquire()

    def wake(self) -> None:
        """See `mailbox.Waker`."""
        self.sleeping = False
        try:
            self._token.release()
        except RuntimeError:
            pass  # it is awake, and will look again before it parks

    def park(self) -> None:
        """Wait until somebody wakes; at once when that happened since the last time."""
        self._token.acquire()


class Threads:
    """The backend object; see `Backend`."""

    name = "threads"
    unwinds_with = ()

    def __init__(self) -> None:
        # Re-entrant: a signal handler or finaliser may come here while its thread is inside.
        self._lock = threading.RLock()
        self._cells: dict[Cell, None] = {}
        self._slots: dict[Cell, None] = {}
        self._abandoned: dict[Cell, None] = {}
        self._limit: int | None = None

    make_waker = staticmethod(ThreadWaker)

    def start(self, cell: Cell, make: Callable[[Callable[[], bool], str], Handle] = ActorThread) -> None:
        """See `Backend.start`.

        Args:
            cell: of the actor.
            make: from a function, and a name for its thread, to what will run it. The function returns whether its
                thread may be used again: the actor was not abandoned on it.

        Raises:
            ActorLimit: as many thread actors as are allowed run, or the system gives no more threads.
        """
        with self._lock:
            if self._limit is None:
                self._limit = default_limit()
            if len(self._slots) >= self._limit:
                raise ActorLimit(f"{self._limit} thread actors run, the limit of set_thread_limit")
            self._cells[cell] = self._slots[cell] = None
        try:
            cell.handle = handle = make(partial(self._main, cell), cell.name)
            handle.start()
        except BaseException as error:
            self._forget(cell)
            if isinstance(error, RuntimeError):
                raise ActorLimit(f"the system gives no thread for {cell.name}: {error}") from error
            raise

    def _main(self, cell: Cell) -> bool:
        waker: ThreadWaker = cell.waker  # type: ignore[assignment]
        ident = threading.get_ident()
        context.local.cell = cell
        _modules[ident] = cell.ref.actor_class.__module__
        try:
            if cell.begin():
                while cell.run() is Outcome.IDLE:
                    waker.park()
            cell.end()
        finally:
            context.local.cell = None
            _modules.pop(ident, None)
            left = self._forget(cell)
        return not left

    def _forget(self, cell: Cell) -> bool:
        """Whether it was abandoned."""
        with self._lock:
            self._cells.pop(cell, None)
            self._slots.pop(cell, None)
            return self._abandoned.pop(cell, self) is None

    def release(self, cell: Cell) -> None:
        """See `Backend.release`."""
        with self._lock:
            self._slots.pop(cell, None)

    def settle(self, cell: Cell) -> None:
        """See `Backend.settle`."""
        handle: Handle | None = cell.handle
        if handle is None or handle.thread is threading.current_thread() or cell in self._abandoned:
            return
        handle.join()

    def abandon(self, cell: Cell) -> None:
        """See `Backend.abandon`."""
        with self._lock:
            if cell not in self._cells:
                return
            self._abandoned[cell] = None
        logger.warning("%s was killed while busy; its thread is abandoned until it ends by itself", cell.name)

    def offload(self, fn: Callable[[], R]) -> R:
        """In place: a thread actor that blocks stops nobody."""
        return fn()

    def abandoned(self) -> list[threading.Thread]:
        """See `abandoned`."""
        with self._lock:
            handles: list[Handle | None] = [cell.handle for cell in self._abandoned]
        alive = [handle.thread for handle in handles if handle is not None and handle.is_alive()]
        return [thread for thread in alive if thread is not None]

    def set_limit(self, limit: int | None) -> None:
        """See `set_thread_limit`."""
        with self._lock:
            self._limit = limit

    def lost_in_fork(self) -> None:
        """In a forked child: no thread of the parent's runs here, so their actors are dead."""
        cells = list(self._cells)
        self._cells, self._slots, self._abandoned = {}, {}, {}
        self._lock = threading.RLock()
        _modules.clear()
        context.local.cell = None
        lose_in_fork(cells)


def lose_in_fork(cells: Iterable[Cell]) -> None:
    """In a forked child: end the actors of a backend whose threads are the parent's only."""
    lost = list(cells)
    pykka_registry.lost_in_fork([cell.ref for cell in lost if hasattr(cell, "ref")])
    for cell in lost:
        cell.lost_in_fork()


THREADS = Threads()
os.register_at_fork(after_in_child=THREADS.lost_in_fork)


def abandoned() -> list[threading.Thread]:
    """The threads of killed actors that were busy then and have not ended yet."""
    return THREADS.abandoned()


def set_thread_limit(limit: int | None) -> None:
    """Allow at most `limit` live thread actors, abandoned ones included; `None` is the default again.

    The default is half of what the system's limits on processes and memory maps allow. Actors that run stay.

    Raises:
        InvalidOption: not a whole number of at least 1.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidOption(f"the thread limit must be a whole number of at least 1, not {limit!r}")
    THREADS.set_limit(limit)


def default_limit() -> int:
    """Half of the threads that pid and map limits allow, 4 096 where they cannot be read."""
    maps = _read("/proc/sys/vm/max_map_count")
    bounds = [
        _read("/proc/sys/kernel/pid_max"),
        _read("/proc/sys/kernel/threads-max"),
        _cgroup_limit(),
        # About three mappings a thread were measured.
        None if maps is None else maps // 3,
    ]
    known = [bound for bound in bounds if bound]
    return max(1, min(known) // 2) if known else 4096


def _read(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _cgroup_limit() -> int | None:
    return _read("/sys/fs/cgroup/pids.max") or _read("/sys/fs/cgroup/pids/pids.max")
