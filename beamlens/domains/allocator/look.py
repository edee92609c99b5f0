"""One look at the allocators: what each holds and uses, beside what is resident."""

from __future__ import annotations

from dataclasses import dataclass

from beamlens.domains.allocator import glibc, pymalloc
from beamlens.domains.allocator.glibc import GlibcNumbers
from beamlens.domains.allocator.pymalloc import PymallocNumbers
from beamlens.domains.allocator.sparing import Sparing
from beamlens.probes import limits, process
from beamlens.probes.limits import Limit

MB = 1e6


@dataclass(frozen=True, slots=True)
class Allocator:
    """What one allocator holds.

    Attributes:
        name: ``pymalloc`` or ``glibc``.
        held: Bytes taken from the system, those in use by one block each left out.
        used: Bytes of it in use.
        carriers: Arenas.
    """

    name: str
    held: int
    used: int
    carriers: int | None

    @property
    def usage(self) -> float | None:
        """In use by held, 0 to 1; ``None`` when nothing is held."""
        return self.used / self.held if self.held else None

    @property
    def free(self) -> int:
        """Held and not in use, bytes."""
        return max(0, self.held - self.used)


@dataclass(frozen=True, slots=True)
class Look:
    """What was read at one moment; a text is why something could not be.

    Attributes:
        python: pymalloc.
        c: glibc.
        rss: Resident memory, bytes; ``None`` when it cannot be read.
        limit: The memory limit, bytes.
    """

    python: PymallocNumbers | str
    c: GlibcNumbers | str
    rss: int | None
    limit: float | None

    def allocators(self, arenas: int | None = None) -> list[Allocator]:
        """Those that tell."""
        found = []
        if isinstance(self.python, PymallocNumbers):
            found.append(Allocator("pymalloc", self.python.held, self.python.used, self.python.arenas))
        if isinstance(self.c, GlibcNumbers):
            found.append(Allocator("glibc", self.c.held, self.c.used, arenas))
        return found

    @property
    def free(self) -> int | None:
        """Held by the allocators and not in use, bytes; ``None`` when none tells."""
        found = self.allocators()
        return sum(one.free for one in found) if found else None

    @property
    def held(self) -> int | None:
        """Held by the allocators, large blocks too; ``None`` when none tells."""
        mapped = self.c.mapped if isinstance(self.c, GlibcNumbers) else 0
        found = self.allocators()
        return sum(one.held for one in found) + mapped if found else None

    @property
    def wasted_pct(self) -> float | None:
        """Free in the allocators, of the memory limit."""
        free = self.free
        return None if free is None or not self.limit else 100 * free / self.limit


class Watch:
    """Looks, each part as seldom as it costs."""

    def __init__(self) -> None:
        self._python: Sparing[PymallocNumbers | str] = Sparing(pymalloc.numbers)
        self._c: Sparing[GlibcNumbers | str] = Sparing(glibc.numbers)
        self._limit: Sparing[Limit | None] = Sparing(lambda: limits.read().memory, 10.0)

    def __call__(self) -> Look:
        """Look now; see `pymalloc.numbers` and `glibc.numbers` for the cost."""
        limit = self._limit()
        return Look(self._python(), self._c(), process.resident(), None if limit is None else limit.value)
