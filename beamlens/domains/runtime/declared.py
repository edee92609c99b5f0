"""What the `runtime` domain measures, and when it is worth a look."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from beamlens.detect import Detector, Growth, Sensor, Threshold
from beamlens.domains.runtime import bounds
from beamlens.domains.runtime.look import GIL_KEPT_PCT
from beamlens.metrics import Metric

METRICS: tuple[Metric, ...] = (
    Metric("memory_mb", "MB", description="resident memory", matters=32),
    Metric("memory_limit_mb", "MB", description="the memory limit", direction="none"),
    Metric("memory_utilization_pct", "%", high=85, critical=95, description="of the memory limit"),
    Metric("thread_count", "threads", description="threads of the process"),
    Metric("thread_limit", "threads", description="the thread limit", direction="none"),
    Metric("thread_utilization_pct", "%", high=80, critical=95, description="of the thread limit"),
    Metric("descriptor_count", "descriptors", description="open file descriptors"),
    Metric("descriptor_limit", "descriptors", description="the descriptor limit", direction="none"),
    Metric("descriptor_utilization_pct", "%", high=80, critical=95, description="of the descriptor limit"),
    Metric("interned_strings", "strings", description="interned strings, CPython 3.12 and later", direction="none"),
    Metric(
        "run_queue_ms",
        "ms",
        description="95th percentile of how late a sleeping thread wakes, for any reason",
        matters=50,
        direction="up",
    ),
    Metric(
        "gil_wait_pct", "%", description="share of time that a thread waits for the GIL", matters=20, direction="up"
    ),
    Metric("gil_contention_ms", "ms", description="median wait for the GIL", matters=5, direction="up"),
    Metric(
        "gil_stall_ms",
        "ms",
        description="longest wait for the GIL in the last three seconds",
        direction="none",
    ),
    Metric("cpu_pct", "%", description="CPU of the process; 100 is one core", direction="none"),
    Metric("cores", "cores", description="cores that the process may use", direction="none"),
    Metric("event_loops", "loops", description="event loops of asyncio that run", direction="none"),
    Metric(
        "loop_lag_ms", "ms", description="how late a loop answered last, the latest of all", direction="up", matters=100
    ),
    Metric(
        "loop_blocked_pct",
        "%",
        description="share of 15 s that a loop was blocked by its own callbacks",
        direction="up",
        matters=10,
    ),
    Metric("task_count", "tasks", description="asyncio tasks", direction="up", matters=200),
    Metric(
        "executor_queue",
        "tasks",
        description="tasks in line for a thread pool, the longest line",
        direction="up",
        matters=200,
    ),
    Metric(
        "executor_stuck_s",
        "s",
        description="how long all threads of a pool stand still while tasks wait",
        direction="up",
        matters=5,
    ),
)

# More than ordinary warm-ups: 30 MB of caches that fill, pools of 20 threads or connections.
_MEMORY, _DESCRIPTORS, _THREADS = 32.0, 40.0, 22.0
# One busy Python thread makes the others wait for a fifth to a quarter of the time.
_GIL_WAIT = Metric("gil_wait_pct", "%", high=GIL_KEPT_PCT, critical=90)
_GIL_STALL = Metric("gil_stall_ms", "ms", high=100, critical=2000)
# Three times of 0.8 s in 15 s, or a single one of 3 s: no handler does that to a healthy loop.
_LOOP_BLOCKED = Metric("loop_blocked_pct", "%", high=15, critical=70)
_POOL_STUCK = Metric("executor_stuck_s", "s", high=10, critical=60)
_TASKS, _QUEUED = 500.0, 1000.0

_memory: Callable[..., Detector] = partial(Growth, unit="MB", limit=bounds.value("memory", 1e6), what="memory")
_descriptors: Callable[..., Detector] = partial(
    Growth, unit="descriptors", limit=bounds.value("descriptors"), what="open descriptors"
)
_task_growth: Callable[..., Detector] = partial(
    Growth, unit="tasks", least=_TASKS, bucket=10.0, what="the number of asyncio tasks"
)
_queue_growth: Callable[..., Detector] = partial(
    Growth, unit="tasks", least=_QUEUED, bucket=10.0, what="the line of a thread pool"
)
_threads: Callable[..., Detector] = partial(
    Growth, unit="threads", limit=bounds.value("threads"), what="the number of threads"
)

SENSORS: tuple[Sensor, ...] = (
    Sensor("memory_growth", "memory_mb", partial(_memory, least=_MEMORY)),
    Sensor(
        "memory_growth_slow",
        "memory_mb",
        partial(_memory, least=_MEMORY, least_share=0.05, bucket=60.0),
        "memory_growth",
    ),
    Sensor("descriptor_growth", "descriptor_count", partial(_descriptors, least=_DESCRIPTORS)),
    Sensor(
        "descriptor_growth_slow",
        "descriptor_count",
        partial(_descriptors, least=_DESCRIPTORS, bucket=60.0),
        "descriptor_growth",
    ),
    Sensor("thread_growth", "thread_count", partial(_threads, least=_THREADS)),
    Sensor("thread_growth_slow", "thread_count", partial(_threads, least=_THREADS, bucket=60.0), "thread_growth"),
    Sensor("gil_contention", "gil_wait_pct", partial(Threshold, _GIL_WAIT, lasting=4.0)),
    Sensor("gil_stalls", "gil_stall_ms", partial(Threshold, _GIL_STALL, lasting=8.0), "gil_contention"),
    Sensor("blocked_loop", "loop_blocked_pct", partial(Threshold, _LOOP_BLOCKED, lasting=4.0)),
    Sensor("executor_stuck", "executor_stuck_s", partial(Threshold, _POOL_STUCK, lasting=2.0)),
    Sensor("executor_growth", "executor_queue", _queue_growth),
    Sensor("task_growth", "task_count", _task_growth),
)
