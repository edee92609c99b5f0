"""Why is a loop blocked, a thread pool stuck, why do tasks pile up?"""

from __future__ import annotations

import time
from collections import Counter

from beamlens.detect import SensorState
from beamlens.domains import stuck
from beamlens.domains.runtime.watch import Watch
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import executors, tasks, waits
from beamlens.probes.executors import Pool
from beamlens.probes.loops import loops
from beamlens.probes.sampler import SampledThread, sampler
from beamlens.probes.source import line_of

_SPAN = 30.0
_MAJORITY = 0.6
_LOCKED_FOR = 2.0


def explain_loop(_sensor: SensorState, _watch: Watch) -> list[Evidence]:
    """What the sampler saw while a loop was blocked; at once."""
    return stuck.explain_stalls(loops.recent(_SPAN), _SPAN)


def explain_executor(_sensor: SensorState, watch: Watch) -> list[Evidence]:
    """Where the threads of the pool with the longest line stand, and which lock they wait for; at once."""
    pools = sorted(executors.pools(), key=lambda pool: (-watch.stuck_for([pool]), -pool.queued))
    if not pools or not pools[0].queued:
        text = "no thread pool has tasks in line any more"
        return [Evidence(text=text, cause=CauseKind.POOL_EXHAUSTED, strength=Strength.EXCLUDES)]
    pool, now = pools[0], time.monotonic()
    workers = [thread for thread in sampler.states() if thread.ident in pool.idents]
    groups = [
        group
        for group in waits.lock_groups(sampler.states(), now, _LOCKED_FOR)
        if len(set(group.idents) & set(pool.idents)) >= _MAJORITY * len(pool.idents)
    ]
    return [*stuck.explain_locks(groups), _stand(pool, workers, watch, locked=bool(groups))]


def _stand(pool: Pool, workers: list[SampledThread], watch: Watch, *, locked: bool) -> Evidence:
    places = Counter(
        Place(file=frame.file, line=max(1, frame.line), function=frame.function)
        for worker in workers
        if (frame := worker.stack.place) is not None
    )
    seconds = watch.stuck_for([pool])
    seen = f"thread pool {pool.name!r}: {pool.queued} tasks in line, {len(pool.idents)} threads"
    if not places:
        return Evidence(text=f"{seen}; where they stand is not seen", cause=_cause(seconds), strength=_SUPPORTS)
    place, count = places.most_common(1)[0]
    stacks = [worker.stack for worker in workers if worker.stack.place is not None]
    kind = next((waits.kind_of(stack) for stack in stacks if stack.place and stack.place.line == place.line), "call")
    doing = f"waiting ({kind})" if seconds else "at work"
    text = f"{seen}, {count} of them at {place}, {doing}: {line_of(place)}"
    if seconds:
        text += f"; none has moved for {seconds:.0f} s"
    conclusive = bool(seconds) and count >= _MAJORITY * len(pool.idents) and not locked
    return Evidence(
        text=text,
        cause=_cause(seconds),
        strength=Strength.CONCLUSIVE if conclusive else _SUPPORTS,
        place=place,
        data={"pool": pool.name, "queued": pool.queued, "threads": len(pool.idents), "at_line": count},
    )


_SUPPORTS = Strength.SUPPORTING


def _cause(stuck_for: float) -> CauseKind:
    return CauseKind.POOL_EXHAUSTED if stuck_for else CauseKind.QUEUE_GROWTH


def explain_task(sensor: SensorState, watch: Watch) -> list[Evidence]:
    """Where most tasks wait; up to 10 ms, in slices."""
    rows = tasks.waiting(watch.ages)
    if not rows:
        return []
    total, row = sum(one.count for one in rows), rows[0]
    share = row.count / total
    if row.place is None:
        text = f"{row.count} of {total} tasks run {row.coroutine}; where they wait is not seen"
        return [Evidence(text=text, cause=CauseKind.TASK_PILE_UP, strength=Strength.SUPPORTING)]
    text = (
        f"{row.count} of {total} tasks run {row.coroutine} and wait at {row.place}"
        f"{f' in {row.awaits}' if row.awaits else ''}: {line_of(row.place)}"
    )
    if row.oldest_s is not None:
        text += f"; the oldest for {row.oldest_s:.0f} s or longer"
    grown = sensor.data.get("grown", 0.0)
    conclusive = share >= _MAJORITY and row.count >= 0.5 * grown
    return [
        Evidence(
            text=text,
            cause=CauseKind.TASK_PILE_UP,
            strength=Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING,
            place=row.place,
            data={"tasks": row.count, "of": total, "coroutine": row.coroutine},
        )
    ]
