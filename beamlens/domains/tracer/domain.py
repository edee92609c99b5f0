"""The `tracer` domain: the calls of one function, for a minute at most."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.tracer import session, target
from beamlens.metrics import Metric

_UNSUPPORTED = (
    "tracing one function without slowing all others needs sys.monitoring, which CPython has from 3.12 on; "
    f"this is {sys.version_info.major}.{sys.version_info.minor}"
)
_SUPPORTED = hasattr(sys, "monitoring")


class TracerDomain(Domain):
    """Watches the calls of one named function: when, how long, from where, argument types, what type came back.

    On request only, and only one function at a time in the process: at most 5 calls a second and 50 in all are
    recorded, for 60 seconds at most; then it ends by itself. Values are never read, types only. Functions that are not
    traced cost nothing, a recorded call some microseconds. Nothing is watched by itself: if nobody asked for a trace,
    there is nothing to look at here, so wait or finish at once.
    """

    name: ClassVar[str] = "tracer"
    title: ClassVar[str] = "Function tracer"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("active", description="whether a trace is under way"),
        Metric("trace_count", "calls", description="recorded by the latest trace", direction="none"),
        Metric("trace_spec", description="the function of the latest trace, module and name"),
        Metric("elapsed_ms", "ms", description="how long the latest trace has gone on, or went on", direction="none"),
    )

    def __init__(self) -> None:
        self._mine: session.Session | None = None

    def close(self) -> None:
        """End the trace, if this domain began it."""
        if self._mine is not None:
            self._mine.end("the domain was closed")

    def snapshot(self) -> dict[str, Any]:
        """All metrics; a few microseconds."""
        if not _SUPPORTED:
            names = [metric.name for metric in self.metrics]
            return {**dict.fromkeys(names), "_unavailable": dict.fromkeys(names, _UNSUPPORTED)}
        latest = session.shared.latest
        if latest is None:
            why = "nothing was traced yet"
            return {
                "active": False, "trace_count": 0, "trace_spec": None, "elapsed_ms": None,
                "_unavailable": {"trace_spec": why, "elapsed_ms": why},
            }  # fmt: skip
        return {
            "active": latest.active,
            "trace_count": len(latest.calls),
            "trace_spec": f"{latest.target.module}.{latest.target.function}",
            "elapsed_ms": round(1e3 * latest.seconds, 1),
        }

    def sense(self) -> Mapping[str, float | None]:
        """Nothing: it has no sensors."""
        return {}

    @callback
    def start(self, module: str, name: str) -> dict[str, Any]:
        """Trace one function: module as in sys.modules, name as Class.method, function, or outer.<locals>.inner.

        No wildcards; arity does not matter in Python. Decorators are looked through. Ends after 50 calls or 60 s; 5 a
        second at most are recorded. Costs a recorded call 10 us, all others nothing; each frame of the process that an
        exception passes 0.1 us meanwhile.
        """
        if not _SUPPORTED:
            return error("unsupported", _UNSUPPORTED)
        latest = session.shared.latest
        if latest is not None and latest.active:
            return _active(latest)
        found = target.resolve(module, name)
        if isinstance(found, dict):
            return found
        try:
            began = session.shared.start(found)
        except session.ToolsTakenError as taken:
            return error("tracer_taken", str(taken))
        except RuntimeError:
            return error("unavailable", "no thread can be started to end the trace")
        if began is None:
            return error("trace_already_active", "another trace began at the same moment: see get")
        self._mine = began
        limits = {"calls": session.MOST_TRACES, "a_second": session.A_SECOND, "seconds": session.LONGEST}
        return {"started": True, "spec": found.describe(), "limits": limits}

    @callback
    def stop(self) -> dict[str, Any]:
        """End the trace; fine when there is none. What was recorded stays for get."""
        if not _SUPPORTED:
            return error("unsupported", _UNSUPPORTED)
        latest = session.shared.latest
        if latest is None:
            return {"stopped": False, "active": False, "trace_count": 0}
        was = latest.active
        latest.end("asked to")
        return {"stopped": was, "active": False, "trace_count": len(latest.calls)}

    @callback
    def get(self, limit: int = 50) -> dict[str, Any]:
        """The calls that were recorded, newest first, at most 50: duration_ms, outcome, types, thread, caller."""
        if not _SUPPORTED:
            return error("unsupported", _UNSUPPORTED)
        latest = session.shared.latest
        if latest is None:
            return {"active": False, "ended": None, "spec": None, "trace_count": 0, "calls": []}
        recorded = list(latest.calls)
        return {
            "active": latest.active,
            "ended": latest.ended,
            "spec": latest.target.describe(),
            "elapsed_ms": round(1e3 * latest.seconds, 1),
            "trace_count": len(recorded),
            "calls": [call.row() for call in reversed(recorded[-clamp(limit) :])],
        }


def _active(latest: session.Session) -> dict[str, Any]:
    left = session.LONGEST - latest.seconds
    text = f"{latest.target.module}.{latest.target.function} is traced for up to {left:.0f} s more: stop it, or wait"
    return error("trace_already_active", text)
