"""Callbacks of the `runtime` domain about interned strings, the nearest thing to atoms."""

from __future__ import annotations

import sys
from typing import Any

from beamlens.domains.arguments import error
from beamlens.domains.domain import callback
from beamlens.domains.runtime.watch import Watch

_LEAK_MINUTES = 10.0
_LEAST_SPAN = 60.0
_SUSPECT_PER_MINUTE = 100.0
_UNSUPPORTED = "CPython tells the number of interned strings from 3.12 on"


class AskedAtoms:
    """Interned strings: noted once a minute while this is watched, for an hour."""

    watch: Watch

    @callback
    def atom_growth_rate(self, minutes: int = 10) -> Any:
        """Growth of interned strings over the last minutes (60 at most): count, growth, per_minute, urgency.

        urgency: insufficient_history, healthy, monitoring (grows), concerning (100 a minute and more). There is no
        limit in CPython, so hours_until_exhausted is always null. CPython 3.12 and later.
        """
        if not hasattr(sys, "getunicodeinternedsize"):
            return error("unsupported", _UNSUPPORTED)
        samples = [one for one in self.watch.atoms.copy() if one[0] >= self._last() - 60.0 * min(max(minutes, 1), 60)]
        span = samples[-1][0] - samples[0][0] if samples else 0.0
        if span < _LEAST_SPAN:
            count = samples[-1][1] if samples else None
            return {"count": count, "samples": len(samples), "urgency": "insufficient_history"}
        growth = samples[-1][1] - samples[0][1]
        rate = 60.0 * growth / span
        return {
            "count": samples[-1][1],
            "samples": len(samples),
            "covered_minutes": round(span / 60, 1),
            "growth": growth,
            "per_minute": round(rate, 2),
            "hours_until_exhausted": None,
            "urgency": "concerning" if rate >= _SUSPECT_PER_MINUTE else "monitoring" if growth > 0 else "healthy",
        }

    @callback
    def atom_leak_detected(self) -> Any:
        """Whether interned strings grow by 100 a minute and more over 10 minutes: suspected, per_minute, advice.

        CPython 3.12 and later.
        """
        found = self.atom_growth_rate(int(_LEAK_MINUTES))
        if "error" in found:
            return found
        suspected = found["urgency"] == "concerning"
        return {
            "suspected": suspected,
            "per_minute": found.get("per_minute"),
            "urgency": found["urgency"],
            "advice": "look for sys.intern, setattr or getattr with names that come from outside" if suspected else "",
        }

    def _last(self) -> float:
        return self.watch.atoms[-1][0] if self.watch.atoms else 0.0
