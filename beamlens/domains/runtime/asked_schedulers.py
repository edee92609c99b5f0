"""Callbacks of the `runtime` domain about schedulers: the GIL is one for all Python code, the cores are the others."""

from __future__ import annotations

from typing import Any

from beamlens.domains.arguments import error
from beamlens.domains.domain import callback
from beamlens.domains.runtime import bounds
from beamlens.domains.runtime.asked_work import windows_of
from beamlens.domains.runtime.look import GIL_KEPT_PCT
from beamlens.domains.runtime.watch import Watch
from beamlens.probes import stack_profile
from beamlens.probes.gil import gil_enabled, ticker

_FULL, _SATURATED = 70.0, 90.0
_SPREAD = 50.0
_NOT_YET = "the sampler runs while this domain is watched; ask again in some seconds"


class AskedSchedulers:
    """How busy the GIL and the processors are. Reads what is measured anyway; switches nothing on."""

    watch: Watch

    @callback
    def scheduler_utilization(self, sample_ms: int = 10_000) -> Any:
        """How busy: average_pct of one core over the last sample_ms, by 10 s, and each thread's share.

        utilization_pct is what decides: CPU of the process against the cores it can use at once, one while there is a
        GIL. imbalanced: the busiest thread is 50 points above the next. From history: it does not wait. About 0.1 ms.
        """
        found, seconds = windows_of(sample_ms)
        if seconds <= 0:
            return error("not_yet", _NOT_YET)
        usable = _usable()
        slices = [100 * window.cpu / window.seconds / usable for window in found if window.seconds > 0.5]
        threads = sorted((100 * one.cpu / seconds for one in stack_profile.burners(found).values()), reverse=True)
        first, second = [*threads, 0.0, 0.0][:2]
        reading = ticker.read()
        return {
            "covered_ms": round(seconds * 1e3),
            "utilization_pct": round(100 * sum(window.cpu for window in found) / seconds / usable, 2),
            "max_pct": round(max(slices, default=0.0), 2),
            "min_pct": round(min(slices, default=0.0), 2),
            "usable_cores": usable,
            "busiest_thread_pct": round(first, 2),
            "next_thread_pct": round(second, 2),
            "imbalanced": first - second > _SPREAD,
            "gil_wait_pct": None if reading is None else round(100 * reading.contention_share, 2),
        }

    @callback
    def scheduler_capacity_available(self) -> Any:
        """Whether there is room for more Python work: available, utilization_pct (below 70), gil_wait_pct."""
        found = self.scheduler_utilization(10_000)
        if "error" in found:
            return found
        waits = found["gil_wait_pct"] or 0.0
        return {
            "available": found["utilization_pct"] < _FULL and waits < GIL_KEPT_PCT,
            "utilization_pct": found["utilization_pct"],
            "gil_wait_pct": found["gil_wait_pct"],
        }

    @callback
    def scheduler_health(self) -> Any:
        """status: healthy, warning (over 70 %, or the GIL is kept), critical (over 90 % and the GIL is kept); advice.

        imbalance_factor: the busiest thread's CPU over the next one's, null without a next one.
        """
        found = self.scheduler_utilization(10_000)
        if "error" in found:
            return found
        used, kept = found["utilization_pct"], (found["gil_wait_pct"] or 0.0) >= GIL_KEPT_PCT
        status = "critical" if used > _SATURATED and kept else "warning" if used > _FULL or kept else "healthy"
        advice = []
        if kept:
            advice.append("a thread keeps the GIL: runtime_hot_functions() names its line")
        if used > _FULL:
            advice.append("Python code fills its core: spread the work over processes")
        if found["imbalanced"]:
            advice.append("one thread does most of the work: runtime_top_reducers_window() names it")
        second = found["next_thread_pct"]
        return {
            "status": status,
            "utilization_pct": used,
            "gil_wait_pct": found["gil_wait_pct"],
            "imbalance_factor": round(found["busiest_thread_pct"] / second, 2) if second else None,
            "recommendations": advice,
        }


def _usable() -> float:
    cores = bounds.now().cores
    return 1.0 if gil_enabled() else max(1.0, cores.value if cores is not None else 1.0)
