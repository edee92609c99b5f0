"""From containers that grow to a leak with its line: one judgement for every domain that sees memory grow."""

from __future__ import annotations

from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.probes import heap, process, sites, stacks
from beamlens.probes.heap import Growing
from beamlens.probes.source import line_of

_EXPLAINS = 0.5
_SUPPORTS = 0.15
_WATCH = 2.5
_MOST = 3


def explain(rate: float, what: str, *, resident: bool = True) -> list[Evidence]:
    """Look for containers that explain a growth; takes about 3 seconds, in slices.

    Args:
        rate: What was seen to grow, in MB/s.
        what: What grew, such as ``"the process's memory"``.
        resident: Whether it is the resident memory, whose growth is then measured once more while looking.
    """
    before = process.resident()
    growing, complete = heap.find_growing(_WATCH)
    after = process.resident()
    grown = 0.0 if before is None or after is None else max(0.0, (after - before) / 1e6 / _WATCH)
    rate = max(rate, 0.01)
    # What is measured while looking is nearer to the truth than what the sensor saw before, but noisy: between them.
    rate = (rate + grown) / 2 if resident and grown > 0 else rate
    found = [_judge(one, rate, what) for one in growing]
    evidence = [piece for piece in found if piece is not None][:_MOST]
    return evidence or [_nothing(growing, rate, complete=complete)]


def _judge(one: Growing, rate: float, what: str) -> Evidence | None:
    megabytes = one.bytes_per_second / 1e6
    share = megabytes / rate
    if share < _SUPPORTS:
        return None
    executing = stacks.sample(0.5).functions()
    finding = sites.find(one.holder, executing)
    many = f"{one.containers} of its {one.type_name}s" if one.containers > 1 else one.type_name
    text = (
        f"{one.holder.path} ({many}) grew by {one.added} items in {one.seconds:.1f} s, about {megabytes:.2g} MB/s, "
        f"{min(share, 1.0):.0%} of the growth of {what} ({rate:.2g} MB/s)"
    )
    if finding.place is not None:
        text += f"; {finding.how}: {finding.place}: {line_of(finding.place)}"
    conclusive = share >= _EXPLAINS and finding.place is not None
    return Evidence(
        text=text,
        cause=CauseKind.MEMORY_LEAK,
        strength=Strength.CONCLUSIVE if conclusive and finding.exact else Strength.SUPPORTING,
        place=finding.place,
        data={"items": one.added, "mb_per_s": round(megabytes, 3), "share": round(share, 3), "holder": one.holder.path},
    )


def _nothing(growing: list[Growing], rate: float, *, complete: bool) -> Evidence:
    seen = "every container within reach was read" if complete else "the heap is too large to read it all"
    text = (
        f"no container that Python code holds explains the growth of {rate:.2g} MB/s ({len(growing)} grow a little; "
        f"{seen}): memory of extension modules, or objects that are not in containers"
    )
    return Evidence(text=text, cause="container_growth", strength=Strength.EXCLUDES, data={"complete": complete})
