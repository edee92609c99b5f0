"""`Roster`: the tasks that run under one supervisor, as any thread enters and strikes them."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from beamlens_actors import ActorDead, MailboxFull
from beamlens_actors.actor import Launcher, Options
from beamlens_actors.backends.kept import KeptThreads
from beamlens_supervision import children as kids
from beamlens_supervision.child_spec import ChildSpec
from beamlens_supervision.children import Child
from beamlens_supervision.errors import ChildStartError, MaxChildren
from beamlens_supervision.events import ChildEnded, ChildStarted, SupervisionEvent
from beamlens_supervision.job import LinkedTaskActor, TaskActor

if TYPE_CHECKING:
    from beamlens_actors import ActorRef, ExitReason
    from beamlens_supervision.job import Job

NEWS = object()
"""What a supervisor is told when there is something that it has to tell."""


class Roster:
    """The tasks of one supervisor, and the places that they and its other children take.

    A task is started by whoever wants it, on that thread, and struck off where it ends: the supervisor, which may be
    busy, is not in the way. What is to be told of them waits here until the supervisor tells it.
    """

    def __init__(self, supervisor: ActorRef[Any], backend: str, most: float, *, telling: bool) -> None:
        """Make an empty one.

        Args:
            supervisor: whose tasks they are.
            backend: what they run on.
            most: how many places there are.
            telling: whether anybody listens to the supervisor's events; if not, none is made.
        """
        self._supervisor = supervisor
        self._backend = backend
        self._most = most
        self._telling = telling
        self._threads = KeptThreads() if backend == "threads" else None
        # Re-entrant: a finaliser may start a task while its thread is inside.
        self._lock = threading.RLock()
        self._taken = 0
        self._open = True
        self._jobs: dict[ActorRef[Any], Job] = {}
        self._news: deque[SupervisionEvent] = deque()

    # -- places ----------------------------------------------------------------------------------------------

    def take_place(self) -> None:
        """For one more.

        Raises:
            MaxChildren: there is none left.
            ActorDead: the supervisor is ending.
        """
        with self._lock:
            self._check_open()
            if self._taken >= self._most:
                raise MaxChildren(self._most)
            self._taken += 1

    def give_back(self) -> None:
        """Undo `take_place`."""
        with self._lock:
            self._taken -= 1

    def _check_open(self) -> None:
        if not self._open:
            raise ActorDead(f"{self._supervisor.name} is ending")

    # -- tasks -----------------------------------------------------------------------------------------------

    def start(self, job: Job) -> ActorRef[Any]:
        """Start the actor of a task, on the calling thread.

        Raises:
            MaxChildren: as many run as are allowed.
            ActorDead: the supervisor is ending.
            ChildStartError: there is no thread for it, or the supervisor ended meanwhile.
        """
        self.take_place()
        kind = TaskActor if job.owner is None else LinkedTaskActor
        try:
            ref: ActorRef[Any] = Launcher(kind, Options(backend=self._backend, name=job.name)).start(job, self._threads)
        except BaseException as error:
            self.give_back()
            if isinstance(error, Exception):
                raise ChildStartError(job.name, error) from error
            raise
        try:
            self._enter(ref, job)
        except ActorDead as error:
            kids.end(ref, 0)
            raise ChildStartError(job.name, error) from error
        finally:
            # Last, as one that has ended already is struck off at once.
            ref.add_exit_callback(partial(self._ended, job))
        return ref

    def _enter(self, ref: ActorRef[Any], job: Job) -> None:
        with self._lock:
            self._check_open()
            self._jobs[ref] = job
            if self._telling:
                self._news.append(ChildStarted(self._supervisor, job.name, ref))
        self._announce()

    def _ended(self, job: Job, ref: ActorRef[Any], reason: ExitReason) -> None:
        with self._lock:
            self._taken -= 1
            known = self._jobs.pop(ref, None) is not None
            if known and self._telling:
                self._news.append(ChildEnded(self._supervisor, job.name, ref, reason))
        self._announce()
        # Waiters are told at the actor's end, not the function's, and last: by then the supervisor has forgotten it.
        job.settle(reason)

    def _announce(self) -> None:
        if not self._news:
            return
        try:
            self._supervisor.tell(NEWS)
        except (ActorDead, MailboxFull):
            pass  # a full mailbox has messages, and before each of them the supervisor looks here

    # -- for the supervisor ----------------------------------------------------------------------------------

    def running(self) -> list[Child]:
        """Those that run, in the order they were started."""
        with self._lock:
            return [_child(ref, job) for ref, job in self._jobs.items()]

    def strike(self, ref: ActorRef[Any]) -> Child | None:
        """Let the caller end this one, and tell of it; its place is free when it has ended."""
        with self._lock:
            job = self._jobs.pop(ref, None)
        return None if job is None else _child(ref, job)

    def close(self, reason: ExitReason) -> list[Child]:
        """Let nobody in any more, and tell who waits for a task why it will have no result; returns those that run.

        The caller ends them, and tells of it.
        """
        with self._lock:
            self._open = False
            jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            job.settle(reason)
        return [_child(ref, job) for ref, job in jobs.items()]

    def let_threads_go(self, *, join: bool = False) -> None:
        """Keep no thread for another task; `join`: wait for the end of those that were kept."""
        if self._threads is not None:
            self._threads.close(join=join)

    def take_news(self) -> SupervisionEvent | None:
        """The oldest event that was not told yet."""
        try:
            return self._news.popleft()
        except IndexError:
            return None


def _child(ref: ActorRef[Any], job: Job) -> Child:
    spec = ChildSpec(job.name, TaskActor.start, restart="temporary", shutdown=job.shutdown)
    return Child(spec, ref, state="running")
