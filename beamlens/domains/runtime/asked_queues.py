"""Callbacks of the `runtime` domain about what waits in line."""

from __future__ import annotations

from typing import Any

from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import callback
from beamlens.domains.runtime import queues
from beamlens.domains.runtime.watch import Watch

_MOST_MS = 300_000


class AskedQueues:
    """Message queues: actors' mailboxes, executors' tasks, loops' ready callbacks, queues in the program's modules."""

    watch: Watch

    @callback
    def queue_processes(self, threshold: int = 1000) -> Any:
        """What has more than threshold messages in line: kind, name, message_queue; the longest 50. About 2 ms."""
        return [line.view() for line in queues.now() if line.size > threshold][:50]

    @callback
    def queue_growth(self, interval_ms: int = 5000, limit: int = 10) -> Any:
        """Whose line grew over the last interval_ms: kind, name, before, message_queue, growth, per_second.

        From what was noted each second while this is watched: it does not wait. interval_ms: at most 300000. Queues of
        modules are not in it; queue_processes tells them.
        """
        seconds, rows = self.watch.queues.growth(min(max(interval_ms, 1000), _MOST_MS) / 1000)
        if seconds <= 0:
            return error("not_yet", "the lines are noted each second while this domain is watched; ask again")
        return {
            "interval_ms": round(seconds * 1000),
            "queues": [
                {
                    "kind": kind,
                    "name": name,
                    "before": before,
                    "message_queue": size,
                    "growth": size - before,
                    "per_second": round((size - before) / seconds, 2),
                }
                for kind, name, before, size in rows[: clamp(limit)]
            ],
        }

    @callback
    def queue_stats(self) -> Any:
        """All lines together: total_queued_messages, those over 1000 and over 10000, the longest. About 2 ms."""
        lines = queues.now()
        longest = lines[0] if lines and lines[0].size else None
        return {
            "total_queued_messages": sum(line.size for line in lines),
            "processes_with_queues": sum(line.size > 0 for line in lines),
            "processes_with_large_queues": sum(line.size > queues.LARGE for line in lines),
            "processes_with_critical_queues": sum(line.size > queues.CRITICAL for line in lines),
            "max_queue_size": 0 if longest is None else longest.size,
            "max_queue_process": None if longest is None else f"{longest.kind} {longest.name}",
        }
