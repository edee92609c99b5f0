"""Callbacks of the `runtime` domain about asyncio and thread pools."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from beamlens.domains import stuck
from beamlens.domains.arguments import clamp
from beamlens.domains.domain import callback
from beamlens.domains.runtime.watch import Watch
from beamlens.evidence import Place
from beamlens.probes import executors, tasks
from beamlens.probes.frames import Frame
from beamlens.probes.loops import loops
from beamlens.probes.source import line_of


class AskedLoops:
    """Event loops, their tasks, and executors."""

    watch: Watch

    @callback
    def get_event_loops(self) -> Any:
        """Event loops that run: thread, kind, lag_ms, ready (callbacks in line), blocked_pct of the last 15 s.

        Found and measured while this is watched. About 0.1 ms; 50 loops at most.
        """
        recent = loops.recent(stuck.WINDOW)
        return [
            {
                "thread": state.thread,
                "kind": state.kind,
                "lag_ms": None if state.lag_ms is None else round(state.lag_ms, 2),
                "ready": state.ready,
                "blocked_pct": round(
                    100 * sum(stall.seconds for stall in recent if stall.thread == state.thread) / stuck.WINDOW, 1
                ),
            }
            for state in loops.states()
        ]

    @callback
    def slow_callbacks(self, limit: int = 10) -> Any:
        """Times of 0.1 s and more that a loop ran one callback, of 5 minutes, newest first: time, seconds, thread, at.

        cpu_share: how much of it was spent burning CPU; over: whether it has ended. At most 50.
        """
        return [
            {
                "time": datetime.fromtimestamp(stall.at, UTC).isoformat(),
                "seconds": round(stall.seconds, 3),
                "thread": stall.thread,
                "at": _at(stall.stacks[0][0].place),
                "cpu_share": round(min(1.0, stall.cpu / max(stall.seconds, 1e-6)), 2),
                "over": stall.over,
            }
            for stall in reversed(loops.recent(300.0)[-clamp(limit) :])
        ]

    @callback
    def get_tasks(self, limit: int = 10) -> Any:
        """Asyncio tasks by what they wait at: coroutine, at, code, awaits, tasks, oldest_s (at least); most first.

        Read from outside of the loops, 2000 tasks at most (examined), in slices; about 5 us a task. oldest_s is known
        for tasks with default names.
        """
        rows = tasks.waiting(self.watch.ages)
        return {
            "task_count": tasks.count(),
            "examined": sum(row.count for row in rows),
            "groups": [
                {
                    "coroutine": row.coroutine,
                    "at": None if row.place is None else f"{row.place.file}:{row.place.line} {row.place.function}",
                    "code": None if row.place is None else line_of(row.place),
                    "awaits": row.awaits or None,
                    "tasks": row.count,
                    "oldest_s": None if row.oldest_s is None else round(row.oldest_s, 1),
                }
                for row in rows[: clamp(limit)]
            ],
        }

    @callback
    def get_executors(self, limit: int = 10) -> Any:
        """Thread pools of concurrent.futures: name, threads, max_threads, queued, stuck_s; the longest line first.

        stuck_s: for how long every thread of it has stood still while tasks wait. About 1 us a thread.
        """
        found = sorted(executors.pools(), key=lambda pool: -pool.queued)
        return [
            {
                "name": pool.name,
                "threads": len(pool.idents),
                "max_threads": pool.most,
                "queued": pool.queued,
                "stuck_s": round(self.watch.stuck_for([pool]), 1) if self.watch.running else None,
            }
            for pool in found[: clamp(limit)]
        ]


def _at(frame: Frame | None) -> str | None:
    if frame is None:
        return None
    place = Place(file=frame.file, line=max(1, frame.line), function=frame.function)
    return f"{place.file}:{place.line} {place.function}"
