"""Callbacks of the `runtime` domain about large binary values."""

from __future__ import annotations

from typing import Any

from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import callback
from beamlens.domains.runtime.binaries import EVERY, Group, Scan, TooLargeError
from beamlens.domains.runtime.watch import Watch

_MB = 1e6
_TOO_LARGE = "the heap has more than 8 million blocks: going through it would stall other threads"


class AskedBinaries:
    """Binaries: bytes, bytearray, mmap, numpy arrays of 512 bytes and more."""

    watch: Watch

    @callback
    def binary_top_memory(self, limit: int = 10) -> Any:
        """Who holds most binary memory: pid, binary, holder, binary_count, binary_memory_kb. One pass over the heap.

        Up to 2 s in slices of 2 ms, no collection. A holder is a module's variable, else the type of the container.
        limit: at most 50. Refused (too_large) beyond 8 million memory blocks. Not complete
        where the program has called gc.freeze(): what it froze is not seen.
        """
        try:
            scan = self.watch.binaries.scan()
        except TooLargeError:
            return error("too_large", _TOO_LARGE)
        groups = sorted(scan.groups.values(), key=lambda group: -group.size)
        return {
            "complete": scan.complete,
            "total_mb": round(sum(group.size for group in groups) / _MB, 2),
            "holders": [_view(group) for group in groups[: clamp(limit)]],
        }

    @callback
    def binary_leak(self, limit: int = 10) -> Any:
        """Holders whose binary memory grew since the scan before: pid, grown_kb, grown_count, seconds.

        Up to 2 s in slices of 2 ms; once a minute, else error rate_limited with retry_after_s. Forces no collection,
        which would stop the program; compares by holder. The first call takes what the next is compared with.
        """
        try:
            answer = self.watch.binaries.leak()
        except TooLargeError:
            return error("too_large", _TOO_LARGE)
        if isinstance(answer, (int, float)):
            text = f"one comparison in {EVERY:.0f} s; ask again later"
            return {**error("rate_limited", text), "retry_after_s": round(answer, 1)}
        after, before = answer
        if before is None:
            return {"grown": [], "seconds": 0.0, "complete": after.complete, "note": "taken to compare the next with"}
        return {
            "seconds": round(after.at - before.at, 1),
            "complete": after.complete and before.complete,
            "grown": _grown(before, after)[: clamp(limit)],
        }

    @callback
    def binary_info(self, pid: str) -> Any:
        """One holder's binaries: pid (as binary_top_memory lists it), count, memory, largest_kb (ten at most).

        Up to 2 s in slices of 2 ms.
        """
        try:
            scan = self.watch.binaries.scan()
        except TooLargeError:
            return error("too_large", _TOO_LARGE)
        group = scan.groups.get(pid)
        if group is None:
            top = sorted(scan.groups.values(), key=lambda one: -one.size)[:5]
            choices = "; ".join(one.pid for one in top) or "none"
            return error("process_not_found", f"nothing is called {pid!r}; the largest are: {choices}")
        return {**_view(group), "largest_kb": [round(size / 1e3, 2) for size in group.largest]}


def _view(group: Group) -> dict[str, Any]:
    return {
        "pid": group.pid,
        "binary": group.binary,
        "holder": group.holder,
        "binary_count": group.count,
        "binary_memory_kb": round(group.size / 1e3, 2),
    }


def _grown(before: Scan, after: Scan) -> list[dict[str, Any]]:
    rows = []
    for pid, group in after.groups.items():
        was = before.groups.get(pid)
        grown = group.size - (0 if was is None else was.size)
        if grown > 0:
            count = group.count - (0 if was is None else was.count)
            rows.append({"pid": pid, "grown_kb": round(grown / 1e3, 2), "grown_count": count})
    return sorted(rows, key=lambda row: -float(row["grown_kb"]))
