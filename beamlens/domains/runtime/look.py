"""One look at the process: its numbers, the GIL's, and the limits that apply to them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import psutil

from beamlens.domains.runtime import bounds
from beamlens.probes import process
from beamlens.probes.gil import GilReading
from beamlens.probes.limits import Limit, Limits
from beamlens.probes.process import ProcessNumbers

_MB = 1e6
GIL_KEPT_PCT = 15
"""From this share of time on that a thread waits for it, the GIL is kept: a thread that never rests makes 20 or more,
one that rests half of the time about 12."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was read at one moment; ``None`` is what could not be read.

    Attributes:
        numbers: The process's own numbers.
        failure: Why there are no numbers: mostly that no descriptor was left to read them with.
        descriptors: Open descriptors; can be told when the rest cannot.
        gil: The GIL ticker's last seconds.
        limits: The limits.
    """

    numbers: ProcessNumbers | None
    failure: str
    descriptors: int | None
    gil: GilReading | None
    limits: Limits

    def sensed(self) -> dict[str, float | None]:
        """The numbers that the sensors read."""
        numbers, gil, found = self.numbers, self.gil, self.limits
        used = None if numbers is None else bounds.memory_used(numbers, found.memory)
        threads = None if numbers is None else bounds.threads_used(numbers, found.threads)
        return {
            "memory_mb": None if numbers is None else numbers.rss / _MB,
            "memory_utilization_pct": bounds.share(used, found.memory),
            "thread_count": None if numbers is None else numbers.threads,
            "thread_utilization_pct": bounds.share(threads, found.threads),
            "descriptor_count": self.descriptors,
            "descriptor_utilization_pct": bounds.share(self.descriptors, found.descriptors),
            "gil_wait_pct": None if gil is None else 100 * gil.contention_share,
            "gil_contention_ms": None if gil is None else gil.contention_ms,
            "gil_stall_ms": None if gil is None or _kept(gil) else gil.stall_ms,
        }

    def bounds(self) -> dict[str, Any]:
        """Each limit with its source."""
        found = self.limits
        return {
            **_limit("memory_limit_mb", "memory_limit_source", found.memory, _MB),
            **_limit("thread_limit", "thread_limit_source", found.threads),
            **_limit("descriptor_limit", "descriptor_limit_source", found.descriptors),
            **_limit("cores", "cores_source", found.cores),
        }

    def reason(self, name: str) -> str:
        """Why a number of this look is ``None``."""
        if name == "interned_strings":
            return "CPython tells it from 3.12 on"
        if name == "cpu_pct":
            return "measured between two looks" if self.numbers is not None else self.failure
        if name == "gil_stall_ms" and self.gil is not None:
            return "it is kept for so long that single stalls do not matter: see gil_wait_pct"
        if name == "run_queue_ms" or name.startswith("gil_"):
            return "measured half a second after the first look"
        if name.startswith("descriptor") and self.descriptors is None:
            return "this system does not tell"
        if name.startswith(("memory", "thread")) and self.numbers is None and "limit" not in name:
            return self.failure
        return "no limit is known"


def look(gil: GilReading | None) -> Look:
    """Look now; about 0.1 ms. Does not fail in a process that has run out of descriptors."""
    numbers, failure = None, ""
    try:
        numbers = process.read()
    except (OSError, psutil.Error) as error:
        failure = f"cannot be read: {type(error).__name__}: {error}"
    descriptors = numbers.descriptors if numbers is not None else process.descriptors()
    return Look(numbers, failure, descriptors, gil, bounds.now())


def _kept(gil: GilReading) -> bool:
    return 100 * gil.contention_share >= GIL_KEPT_PCT


def interned_strings() -> int | None:
    """How many strings are interned; ``None`` before CPython 3.12."""
    count = getattr(sys, "getunicodeinternedsize", None)
    return None if count is None else int(count())


def _limit(name: str, source: str, limit: Limit | None, scale: float = 1.0) -> dict[str, Any]:
    if limit is None:
        return {name: None, source: None}
    value = limit.value / scale
    return {name: int(value) if value.is_integer() else round(value, 2), source: limit.source}
