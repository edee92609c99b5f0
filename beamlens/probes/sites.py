"""From a container that grows to the line that adds to it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from beamlens.evidence import Place
from beamlens.probes import source
from beamlens.probes.heap import Holder
from beamlens.probes.source import Site


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a container is added to.

    Attributes:
        place: The line, or where the container is made when there are several; ``None`` when the source tells nothing.
        exact: Whether it is the only line that adds to it.
        opens: Where the descriptor that is added was opened.
        how: What the place is, in words.
    """

    place: Place | None
    exact: bool
    opens: Place | None
    how: str


def find(holder: Holder, executing: set[tuple[str, str]] | None = None) -> Finding:
    """Find the line that adds to a container.

    Args:
        holder: Who holds it.
        executing: (file, function) that were seen running lately; decides between several lines.
    """
    if holder.kind == "cache":
        place = Place(file=holder.file, line=holder.line or 1, function=holder.owner)
        return Finding(place, exact=True, opens=None, how="the cached function")
    sites = _sites(holder)
    if len(sites) > 1 and executing:
        seen = [s for s in sites if any((s.place.file, s.place.function) == key for key in executing)]
        sites = seen or sites
    if len({(site.place.file, site.place.line) for site in sites}) == 1:
        return Finding(sites[0].place, exact=True, opens=sites[0].opens, how="the only line that adds to it")
    made = _definition(holder)
    if sites:
        lines = ", ".join(f"{site.place}" for site in sites[:4])
        opened = {str(site.opens): site.opens for site in sites if site.opens is not None}
        opens = next(iter(opened.values())) if len(opened) == 1 else None
        return Finding(made or sites[0].place, exact=False, opens=opens, how=f"{len(sites)} lines add to it: {lines}")
    return Finding(made, exact=False, opens=None, how="where it is made" if made else "no line was found")


def _sites(holder: Holder) -> list[Site]:
    attribute = holder.kind == "attribute"
    own = source.parse(holder.file) if holder.file else None
    found: list[Site] = []
    if own is not None:
        found = source.growth_sites(own, holder.name, attribute=attribute)
        if holder.kind == "global":
            # As a plain name inside its module; module.name from others comes below.
            found = [site for site in found if not _shadowed(own, site, holder)]
        elif holder.kind in ("closure", "local"):
            outer = holder.owner.partition(".<locals>")[0]
            found = [site for site in found if site.place.function.partition(".<locals>")[0] == outer]
        elif inside := [site for site in found if _in_class(site, holder)]:
            found = inside
    if holder.kind in ("closure", "local"):
        return _without_init(found)
    for file in source.user_files():
        if file == holder.file or (attribute and found):
            continue
        parsed = source.parse(file)
        if parsed is not None:
            found += source.growth_sites(parsed, holder.name, attribute=True)
            if holder.kind == "global" and _imports_name(file, holder):
                found += source.growth_sites(parsed, holder.name, attribute=False)
    return _without_init(found)


def _in_class(site: Site, holder: Holder) -> bool:
    return site.place.function.startswith(f"{holder.owner}.")


def _without_init(sites: list[Site]) -> list[Site]:
    """What fills it at the start is not what makes it grow, if there is anything else."""
    return [site for site in sites if not site.place.function.endswith("__init__")] or sites


def _shadowed(parsed: source.Parsed, site: Site, holder: Holder) -> bool:
    if not site.place.function:
        return holder.module != "__main__"  # at import time, unless it is the program itself
    made = source.definition(parsed, holder.name, attribute=False)
    return made is not None and made.function == site.place.function and made.function != ""


def _imports_name(file: str, holder: Holder) -> bool:
    """Whether a module has the very same object under the same name (``from cache import ENTRIES``)."""
    target = sys.modules.get(holder.module)
    value = vars(target).get(holder.name) if target is not None else None
    if value is None:
        return False
    return any(
        vars(module).get(holder.name) is value
        for module in list(sys.modules.values())
        if type(module) is type(sys) and getattr(module, "__file__", None) == file
    )


def _definition(holder: Holder) -> Place | None:
    parsed = source.parse(holder.file) if holder.file else None
    if parsed is None:
        return None
    return source.definition(parsed, holder.name, attribute=holder.kind == "attribute")
