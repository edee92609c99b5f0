"""What a process can take away from itself for good: memory, files, processes, processor time."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path


def confine(memory_mb: int) -> None:
    """Give up what a run of Lua does not need. What the system does not offer is left out."""
    for number in (signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)  # a host may have had them ignored, which is inherited
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.environ["TZ"] = "UTC0"
    time.tzset()
    try:
        os.nice(5)  # the host comes first
    except OSError:
        pass
    _limit(
        RLIMIT_AS=_address_space() + 2 * memory_mb * 1_000_000 + 128_000_000,
        RLIMIT_CORE=0,
        RLIMIT_FSIZE=0,
        RLIMIT_NPROC=0,
        RLIMIT_NOFILE=0,
        RLIMIT_MSGQUEUE=0,
        RLIMIT_MEMLOCK=0,
    )


def limit_processor(seconds: float) -> None:
    """Let this process use the processor for so many seconds more, then be killed."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    wanted = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard < 0 else min(wanted, hard), hard))
    except (OSError, ValueError):
        pass


def _limit(**wanted: int) -> None:
    import resource

    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        limit = value if hard < 0 else min(value, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):
            continue


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1_000_000_000
