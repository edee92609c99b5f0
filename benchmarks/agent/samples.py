"""What a watcher has seen of a process whose memory grows, and what it says about it."""

from __future__ import annotations

from typing import Any

UNITS = {"rss_mb": "MB", "heap_objects": "objects", "gc_pause_ms": "ms", "cpu_pct": "%", "loop_lag_ms": "ms"}

OBSERVATION = (
    "Resident memory grew from 412.3 MB to 655.1 MB (by 242.8 MB, 59 %) within 120 s and is above the bound of 512 MB. "
    "Live objects rose from 812000 to 1431000; the longest collection took 48.7 ms, up from 11.2 ms. "
    "CPU stayed near 37 %, with 14 threads. The cache 'sessions' holds 20 entries of the sample, its largest 31 kB."
)

RESULT: dict[str, Any] = {
    "cache": "sessions",
    "entries": [{"key": f"user:{number}", "size_kb": 12 + number, "kind": "session"} for number in range(20)],
}


def snapshots() -> list[tuple[float, dict[str, Any]]]:
    """Three, a minute apart: a few numbers that move among many that do not."""
    still = {f"pool_{number}_size": 10 + number for number in range(30)}
    moving = ((412.3, 812_000, 11.2, 36.8), (540.9, 1_120_000, 23.0, 37.1), (655.1, 1_431_000, 48.7, 37.2))
    return [
        (
            1_000.0 + 60 * index,
            {
                "rss_mb": rss,
                "heap_objects": objects,
                "gc_pause_ms": pause,
                "cpu_pct": cpu,
                "loop_lag_ms": 3.1,
                "threads": {"count": 14, "daemon": 9, "names": ["worker"] * 8},
                "pools": still,
            },
        )
        for index, (rss, objects, pause, cpu) in enumerate(moving)
    ]
