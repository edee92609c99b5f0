"""The processor time of one thread, for next to nothing."""

from __future__ import annotations

import sys
import time

_LINUX = sys.platform.startswith("linux")
# CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED, as pthread_getcpuclockid(3) makes it of the kernel's id of the thread.
_OF_THREAD = 6


def cpu_seconds(native_id: int | None) -> float | None:
    """CPU seconds of a thread, to the nanosecond; ``None`` when it has ended, or where the system does not tell.

    About 0.5 us, no descriptor. By the kernel's id and not by ``pthread_getcpuclockid``, whose behaviour is undefined
    for a thread that has just ended: the kernel refuses an id that is gone.
    """
    if native_id is None or not _LINUX:
        return None
    try:
        return time.clock_gettime((~native_id << 3) | _OF_THREAD)
    except (OSError, OverflowError, TypeError):  # TypeError: what 3.13 says of an id out of range
        return None
