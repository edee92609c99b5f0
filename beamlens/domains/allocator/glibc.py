"""glibc's malloc: what its arenas hold, use and keep free. Reads only; trims nothing."""

from __future__ import annotations

import ctypes
import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from beamlens.domains.allocator import libc

_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


class _MallInfo2(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in _FIELDS)


@dataclass(frozen=True, slots=True)
class GlibcNumbers:
    """All arenas together, bytes.

    Attributes:
        held: Taken from the system for arenas.
        used: Of it in use.
        free: Of it free.
        mapped: In blocks of their own (``mmap``), all in use.
        mapped_blocks: How many of these.
        free_chunks: Free pieces of the arenas.
        top: Free at the end of the main arena, where it is given back by itself when it gets large.
    """

    held: int
    used: int
    free: int
    mapped: int
    mapped_blocks: int
    free_chunks: int
    top: int

    @property
    def usage(self) -> float | None:
        """In use by held, 0 to 1; ``None`` when nothing is held."""
        return self.used / self.held if self.held else None


@dataclass(frozen=True, slots=True)
class Arena:
    """One arena of glibc's.

    Attributes:
        number: 0 is the main one.
        held: Bytes taken from the system.
        free: Bytes free in it.
        free_chunks: In so many pieces.
    """

    number: int
    held: int
    free: int
    free_chunks: int

    @property
    def usage(self) -> float | None:
        """In use by held, 0 to 1; ``None`` when nothing is held."""
        return max(0, self.held - self.free) / self.held if self.held else None


def numbers() -> GlibcNumbers | str:
    """``mallinfo2`` (glibc 2.33 and later), or why it cannot be had.

    0.3 us in a small heap. It counts the free pieces, with each arena locked meanwhile: 4 ms for 300 000.
    """
    why = libc.why_no_glibc()
    if why is not None:
        return why
    mallinfo2 = libc.function("mallinfo2", _MallInfo2)
    if mallinfo2 is None:
        return f"glibc tells it from 2.33 on, this is {libc.glibc_version()}"
    info = mallinfo2()
    return GlibcNumbers(
        held=info.arena,
        used=info.uordblks,
        free=info.fordblks,
        mapped=info.hblkhd,
        mapped_blocks=info.hblks,
        free_chunks=info.ordblks,
        top=info.keepcost,
    )


def arenas() -> list[Arena] | str:
    """``malloc_info``, an arena each, the largest first; or why it cannot be had. Costs as much as `numbers`."""
    why = libc.why_no_glibc()
    if why is not None:
        return why
    malloc_info = libc.function("malloc_info", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    text = None if malloc_info is None else libc.printed(lambda stream: malloc_info(0, stream))
    if not text:
        return "malloc_info cannot be read here: no such function, or no descriptor is left"
    try:
        found = [_arena(heap) for heap in ET.fromstring(text).iter("heap")]  # noqa: S314 - glibc's own words
    except (ET.ParseError, KeyError, ValueError):
        return "malloc_info says what is not known here"
    return sorted(found, key=lambda arena: -arena.held)


def _arena(heap: ET.Element) -> Arena:
    totals = [total for total in heap.findall("total") if total.attrib["type"] in ("fast", "rest")]
    held = next(int(one.attrib["size"]) for one in heap.findall("system") if one.attrib["type"] == "current")
    return Arena(
        number=int(heap.attrib["nr"]),
        held=held,
        free=sum(int(total.attrib["size"]) for total in totals),
        free_chunks=sum(int(total.attrib["count"]) for total in totals),
    )


def arena_limit() -> int | None:
    """The most arenas as the environment says (``MALLOC_ARENA_MAX`` or ``GLIBC_TUNABLES``); ``None``: it does not."""
    tunables: dict[str, str] = {}
    for part in os.environ.get("GLIBC_TUNABLES", "").split(":"):
        name, _, value = part.partition("=")
        tunables[name] = value
    text = tunables.get("glibc.malloc.arena_max", os.environ.get("MALLOC_ARENA_MAX", ""))
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
