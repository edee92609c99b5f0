"""How far the process is from its limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from beamlens.probes import limits
from beamlens.probes.limits import Limit, Limits
from beamlens.probes.process import ProcessNumbers

Kind = Literal["memory", "threads", "descriptors"]

_FRESH = 10.0
_read: tuple[float, Limits] | None = None


def now() -> Limits:
    """The limits, read again every ten seconds: some can be changed while a process runs."""
    global _read
    if _read is None or time.monotonic() - _read[0] > _FRESH:
        _read = time.monotonic(), limits.read()
    return _read[1]


def value(kind: Kind, scale: float = 1.0) -> Callable[[], float | None]:
    """For a detector: the limit of now, in units of `scale`."""

    def get() -> float | None:
        limit: Limit | None = getattr(now(), kind)
        return None if limit is None else limit.value / scale

    return get


def memory_used(numbers: ProcessNumbers, limit: Limit | None) -> float:
    """Bytes that count against a memory limit: all of a control group's, the address space, or the resident memory."""
    if limit is None:
        return numbers.rss
    if limit.source == "RLIMIT_AS":
        return numbers.vms
    return max(float(numbers.rss), limit.used_by_group() or 0.0)


def threads_used(numbers: ProcessNumbers, limit: Limit | None) -> float:
    """Threads that count against a thread limit: all of a control group's, or this process's."""
    return max(float(numbers.threads), (limit.used_by_group() if limit is not None else None) or 0.0)


def share(used: float | None, limit: Limit | None) -> float | None:
    """Percent of a limit; ``None`` where one of both is not known."""
    return None if used is None or limit is None or limit.value <= 0 else round(100 * used / limit.value, 2)
