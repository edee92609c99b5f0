"""The `sup` domain: supervision trees, actors and child processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Growth, Reading, Sensor, SensorState, Told
from beamlens.domains.arguments import clamp, error, guarded
from beamlens.domains.domain import Domain, callback
from beamlens.domains.sup import watch, why
from beamlens.domains.sup.census import Census, Supervised
from beamlens.domains.sup.kinship import Kinship
from beamlens.domains.sup.mailboxes import Mailboxes
from beamlens.domains.sup.processes import ChildProcess, Processes
from beamlens.domains.sup.recorder import RESTARTED, SupRecorder
from beamlens.domains.sup.store import SupStore
from beamlens.domains.sup.views import (
    actor_row,
    child_row,
    crash_row,
    integrity,
    process_row,
    supervisor_row,
    tree_node,
)
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens_actors import ActorRef, abandoned, clock
from beamlens_supervision import ChildSpec

_MOST_LISTED = 200
_SHOWN_NAMES = 30


class SupDomain(Domain):
    """Supervision trees of this process, the host's and Beamlens's own, all actors (plain Pykka too), child processes.

    Numbers named ``own`` are of Beamlens's own trees; all others are the host's. A crash loop is a worker that crashed
    three times within a minute, or steadily five times within ten, or over which its supervisor gave up: then all under
    that supervisor is gone, and its own supervisor, if there is one, has to start it again. Orphans outlived their
    supervisor; unlinked actors have nobody who would hear of their end.

    Normal: a crash now and then with one restart, some stopped children, mailboxes that empty themselves, child
    processes that come and go, a zombie for a few seconds. Worth an alert: crash loops (say exception and line), a
    supervisor that gave up, a mailbox that grows and does not shrink, zombies that stay.
    """

    name: ClassVar[str] = "sup"
    title: ClassVar[str] = "Supervision"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("supervisor_count", "supervisors", description="of the host's", direction="none"),
        Metric("total_children", "children", description="of the host's supervisors", direction="none"),
        Metric("active_children", "children", description="of these, running", direction="none"),
        Metric("own_supervisor_count", "supervisors", description="of Beamlens's own", direction="none"),
        Metric("own_children", "children", description="of Beamlens's own supervisors", direction="none"),
        Metric(
            "busy_supervisors",
            "supervisors",
            description="that gave no answer in 0.2 s: starting or ending one",
            direction="up",
            matters=2,
        ),
        Metric("actors", "actors", description="that live, plain Pykka included", direction="up", matters=1000),
        Metric(
            "restarts_1m",
            "restarts",
            description="of the host's children, in the last minute",
            direction="up",
            matters=3,
        ),
        Metric(
            "own_restarts_1m",
            "restarts",
            description="of Beamlens's own, in the last minute",
            direction="up",
            matters=3,
        ),
        Metric(
            "crashes_1m", "crashes", description="of supervised children, in the last minute", direction="up", matters=3
        ),
        Metric(
            "crash_loops", "workers", description="of the host's, that crash again and again", direction="up", matters=1
        ),
        Metric(
            "gave_up_1h",
            "supervisors",
            description="of the host's, that gave up in the last hour",
            direction="up",
            matters=1,
        ),
        Metric("orphans", "actors", description="that outlived their supervisor", direction="up", matters=3),
        Metric("unlinked", "actors", description="that nobody would hear the end of", direction="none"),
        Metric("mailbox_messages", "messages", description="that wait, in all mailboxes", direction="up", matters=500),
        Metric("largest_mailbox", "messages", description="the fullest of the host's", direction="up", matters=500),
        Metric("largest_mailbox_actor", description="whose that is"),
        Metric(
            "mailbox_used_pct",
            "%",
            high=80,
            critical=95,
            description="of what the one closest to its limit may hold",
            matters=20,
        ),
        Metric(
            "abandoned_threads",
            "threads",
            description="of actors that were killed and did not end",
            direction="up",
            matters=3,
        ),
        Metric("child_processes", "processes", description="of this process", direction="none"),
        Metric(
            "zombie_processes",
            "processes",
            high=5,
            critical=200,
            description="ended for long and not waited for",
            matters=3,
        ),
        Metric(
            "adopted_processes", "processes", description="children whose own parent ended", direction="up", matters=3
        ),
        Metric(
            "replaced_processes_1m",
            "processes",
            description="in whose place came one of the same name",
            direction="up",
            matters=3,
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "mailbox_growth",
            "largest_mailbox",
            lambda: Growth(least=500, least_share=0.2, window=9, unit="messages", what="the fullest mailbox"),
        ),
    )

    def __init__(self, zombie_after: float = 30.0) -> None:
        """Watch this process.

        Args:
            zombie_after: Seconds after which an ended child process that was not waited for counts.

        Raises:
            TypeError: It is not seconds of at least 0.
        """
        if isinstance(zombie_after, bool) or not isinstance(zombie_after, (int, float)) or not zombie_after >= 0:
            raise TypeError(f"zombie_after must be seconds of at least 0, not {zombie_after!r}")
        self._zombie_after = float(zombie_after)
        self._kinship = Kinship()
        self._census = Census(self._kinship)
        self._mailboxes = Mailboxes(self._kinship)
        self._processes = Processes()
        self._loops: list[watch.Loop] = []
        self.recorder = SupRecorder(self._kinship)

    def children(self) -> Sequence[ChildSpec]:
        """The SupStore."""
        start = SupStore.options(name="SupStore").start
        return [ChildSpec("SupStore", start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop listening, should the SupStore not have done so."""
        self.recorder.uninstall()

    def all_sensors(self) -> tuple[Sensor, ...]:
        """Those declared, and crash loops: of the host's trees and of Beamlens's own, apart."""
        host = partial(Told, partial(self._crash_loop, own=False))
        own = partial(Told, partial(self._crash_loop, own=True))
        return (
            Sensor("crash_loop", "crash_loops", host),
            Sensor("own_crash_loop", "own_crash_loops", own, "beamlens_crash_loop"),
            *super().all_sensors(),
        )

    def _crash_loop(self, *, own: bool) -> Reading:
        return watch.reading(self._loops, own=own)

    # -- numbers ---------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.3 ms and 2 us an actor. A busy supervisor costs up to 0.2 s, all together."""
        sensed = self.sense()
        view = self._census.view()
        host = [one for one in view.supervisors if not one.own]
        own = [one for one in view.supervisors if one.own]
        recording = self.recorder.since is not None
        backlog = self._mailboxes.look()
        fullest = backlog.largest_of(own=False)
        children = self._processes.look()
        crashes = self.recorder.crashes(60.0)
        data: dict[str, Any] = {
            "supervisor_count": len(host),
            "total_children": _count_children(host),
            "active_children": _count_children(host, running=True),
            "own_supervisor_count": len(own),
            "own_children": _count_children(own),
            "busy_supervisors": sum(one.children is None for one in view.supervisors),
            "actors": backlog.actors,
            "restarts_1m": self.recorder.rates.count((RESTARTED, False), 60) if recording else None,
            "own_restarts_1m": self.recorder.rates.count((RESTARTED, True), 60) if recording else None,
            "crashes_1m": sum(not one.own for one in crashes) if recording else None,
            "crash_loops": int(sensed["crash_loops"] or 0) if recording else None,
            "gave_up_1h": sum(not one.own for one in self.recorder.resigned(3600.0)) if recording else None,
            "orphans": len(self._orphans()),
            "unlinked": view.unlinked_count,
            "mailbox_messages": backlog.waiting,
            "largest_mailbox": 0 if fullest is None else fullest.waiting,
            "largest_mailbox_actor": "" if fullest is None else _name(fullest.ref),
            "mailbox_used_pct": sensed["mailbox_used_pct"],
            "abandoned_threads": len(abandoned()),
            "child_processes": len(children),
            "zombie_processes": int(sensed["zombie_processes"] or 0),
            "adopted_processes": sum(one.adopted for one in children),
            "replaced_processes_1m": self._processes.replaced(),
        }
        missing = {
            name: "a supervisor is too busy to tell"
            if name.endswith("_children")
            else "no SupStore runs: nothing is recorded"
            for name, value in data.items()
            if value is None
        }
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """Crash loops, the fullest mailboxes, zombies; about 0.1 ms and 0.3 us an actor, and asks nobody."""
        self._loops = watch.loops(self.recorder)
        self._census.refresh()
        backlog = self._mailboxes.look()
        fullest = backlog.largest_of(own=False)
        return {
            "crash_loops": float(sum(not loop.own for loop in self._loops)),
            "own_crash_loops": float(sum(loop.own for loop in self._loops)),
            "largest_mailbox": 0.0 if fullest is None else float(fullest.waiting),
            "mailbox_used_pct": backlog.used,
            "zombie_processes": float(len(self._zombies())),
        }

    def _zombies(self, *, fresh: bool = False) -> list[ChildProcess]:
        found = self._processes.look(fresh=fresh)
        now = clock.monotonic()
        return [one for one in found if one.zombie_since is not None and one.zombie_for(now) >= self._zombie_after]

    def _orphans(self) -> list[ActorRef[Any]]:
        return [ref for ref, parent in self._kinship.all() if parent.ended and ref.is_alive()]

    # -- why -------------------------------------------------------------------------------------------------

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """The exception that repeats and its line; the actor that falls behind and the line it is at (1 s); zombies."""
        name = sensor.name
        if name in ("crash_loop", "own_crash_loop"):
            own = name == "own_crash_loop"
            return why.crash_loops([loop for loop in watch.loops(self.recorder) if loop.own is own])
        if name in ("mailbox_growth", "mailbox_used_pct_threshold"):
            backlog = self._mailboxes.look(fresh=True)
            grows = name == "mailbox_growth"
            return why.mailbox(backlog.largest_of(own=False) if grows else backlog.tightest, backlog.waiting)
        if name == "zombie_processes_threshold":
            return why.zombies(self._zombies(fresh=True), clock.monotonic())
        return ()

    def excerpt(self, limit: int = 5) -> list[str]:
        """The supervisors that gave up, then the latest crashes."""
        lines = [f"{one.supervisor} gave up over {one.child}" for one in self.recorder.resigned(3600.0)]
        for one in self.recorder.crashes()[:limit]:
            at = one.place or "an unknown line"
            said = f"{one.error.type} at {at}: {one.error.message[:200]}"
            lines.append(f"{one.child} of {one.supervisor} crashed: {said}")
        return lines[:limit]

    # -- callbacks -------------------------------------------------------------------------------------------

    @callback
    def list(self) -> Any:
        """All supervisors: name, pid, child_count, active_children, restarts, state (running or busy), supervisor, own.

        At most 200, the host's first. About 20 us each; up to 0.2 s while one is busy.
        """
        found = sorted(self._view(), key=lambda one: one.own)
        return [supervisor_row(one, self._kinship.parent(one.ref)) for one in found[:_MOST_LISTED]]

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        """Those of the class and `sup_children`, whose name is that of a method of every domain."""
        return {**super().callbacks(), "sup_children": guarded(self._children)}

    def _children(self, supervisor_name: str) -> Any:
        """A supervisor's direct children: id, pid (or undefined, restarting), name, type, state, restarts, mailbox.

        At most 200. About 10 us each; up to 0.2 s while a supervisor is busy, which is then said.
        """
        one = self._find(supervisor_name)
        if not isinstance(one, Supervised):
            return one
        if one.children is None:
            return _busy(supervisor_name)
        return [child_row(info, restarts) for info, restarts in one.children[:_MOST_LISTED]]

    @callback
    def tree(self, supervisor_name: str) -> Any:
        """The tree under a supervisor, three levels deep; what is cut off has truncated = true.

        At most 200 children each. About 20 us an actor; up to 0.2 s while a supervisor is busy, which is then said.
        """
        one = self._find(supervisor_name)
        if not isinstance(one, Supervised):
            return one
        return tree_node(one, {each.ref: each for each in self._census.view().supervisors})

    @callback
    def unlinked_processes(self, limit: int = 50) -> Any:
        """Actors without a supervisor, link or monitor: nobody hears of their end. Plain Pykka's are always so.

        Beamlens's own left out. At most 50; about 3 us an actor.
        """
        return [actor_row(ref) for ref in self._census.view(fresh=True).unlinked[: clamp(limit)]]

    @callback
    def orphaned_processes(self, limit: int = 50) -> Any:
        """Actors that outlived their supervisor, with its name. At most 50; about 1 us a supervised actor."""
        self._census.view(fresh=True)
        return [actor_row(ref, self._kinship.parent(ref)) for ref in self._orphans()[: clamp(limit)]]

    @callback
    def tree_integrity(self, supervisor_name: str) -> Any:
        """A supervisor's direct children by state, and its anomalies.

        crash_loop (three crashes in a minute, or five in ten), high_undefined_ratio (over half do not run),
        large_supervisor (over 100), busy. About 50 us.
        """
        one = self._find(supervisor_name)
        if not isinstance(one, Supervised):
            return one
        loops = [loop for loop in watch.loops(self.recorder) if loop.supervisor == supervisor_name]
        return integrity(one, self._census.view(), loops)

    @callback
    def zombie_children(self, supervisor_name: str) -> Any:
        """Actors that still live though their supervisor of this name has ended; also of one that is gone for long.

        About 1 us a supervised actor.
        """
        self._census.view(fresh=True)
        known = self._kinship.all()
        found = [ref for ref, parent in known if parent.name == supervisor_name and parent.ended and ref.is_alive()]
        if not found and all(parent.name != supervisor_name for _, parent in known):
            one = self._find(supervisor_name)
            if not isinstance(one, Supervised):
                return one
        return [actor_row(ref, self._kinship.parent(ref)) for ref in found[:_MOST_LISTED]]

    @callback
    def crashes(self, limit: int = 10) -> Any:
        """The latest crashes of supervised children, newest first: child, exception, line. 500 are kept, 50 shown."""
        return [crash_row(one) for one in self.recorder.crashes()[: clamp(limit)]]

    @callback
    def mailboxes(self, limit: int = 10) -> Any:
        """The fullest mailboxes: actor, messages, capacity, own. At most 50; about 0.3 us an actor."""
        held = self._mailboxes.look(fresh=True).largest[: clamp(limit)]
        return [{**actor_row(box.ref), "capacity": box.capacity, "own": box.own} for box in held]

    @callback
    def processes(self, limit: int = 20) -> Any:
        """Child processes, oldest first: pid, name, status, zombie_s, adopted. At most 50; about 0.1 ms each."""
        now = clock.monotonic()
        return [process_row(one, now) for one in self._processes.look(fresh=True)[: clamp(limit)]]

    def _view(self) -> Sequence[Supervised]:
        return self._census.view(fresh=True).supervisors

    def _find(self, name: str) -> Supervised | dict[str, Any]:
        """A supervisor by its name, the host's before Beamlens's own; else the error with the names."""
        held = sorted(self._view(), key=lambda one: one.own)
        found = next((one for one in held if one.ref.name == name), None)
        if found is not None:
            return found
        names = ", ".join(dict.fromkeys(one.ref.name for one in held[:_SHOWN_NAMES])) or "none"
        return error("supervisor_not_found", f"supervisor_name={name!r}; the supervisors are: {names}")


def _busy(name: str) -> dict[str, Any]:
    return error("busy", f"{name} gave no answer in 0.2 s: it is starting or ending a child; ask again")


def _name(ref: Any) -> str:
    return str(getattr(ref, "name", None) or ref.actor_urn)


def _count_children(supervisors: Sequence[Supervised], *, running: bool = False) -> int | None:
    """Of all of them; ``None`` while one is too busy to tell."""
    told = [one.children for one in supervisors if one.children is not None]
    if len(told) < len(supervisors):
        return None
    return sum(info.state == "running" or not running for children in told for info, _ in children)
