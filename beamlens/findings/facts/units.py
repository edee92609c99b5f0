"""Units as people and metric names write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

BYTE, SECOND, PERCENT, TIMES, COUNT = "byte", "s", "%", "times", "count"


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts.

    Attributes:
        dimension: ``byte``, ``s``, ``%``, ``times``, ``count`` (things with a name), ``""`` when it is not known; with
            ``/s`` behind it a rate.
        decimal: The factor to the dimension's base where a kilobyte is 1000 bytes.
        binary: The same where it is 1024: writers mean either. Two numbers are compared by one convention at a time.
    """

    dimension: str = ""
    decimal: float = 1.0
    binary: float = 1.0

    def per(self, seconds: float) -> Unit:
        """The rate: this in so many seconds."""
        return Unit(f"{self.dimension}/s", self.decimal / seconds, self.binary / seconds)


PLAIN = Unit()
NAMED = Unit(COUNT)
SHARE = Unit(PERCENT, 100.0, 100.0)


def _same(dimension: str, factor: float, names: str) -> dict[str, Unit]:
    return {name: Unit(dimension, factor, factor) for name in names.split()}


def _bytes(power: int, letter: str, word: str) -> dict[str, Unit]:
    either = Unit(BYTE, 1000.0**power, 1024.0**power)
    binary = Unit(BYTE, 1024.0**power, 1024.0**power)
    names = (f"{letter}b", f"{word}byte", f"{word}bytes")
    return dict.fromkeys(names, either) | {f"{letter}ib": binary}


TIME: dict[str, Unit] = {
    **_same(SECOND, 1e-9, "ns nanosecond nanoseconds"),
    **_same(SECOND, 1e-6, "us µs μs microsecond microseconds"),
    **_same(SECOND, 1e-3, "ms msec msecs millisecond milliseconds"),
    **_same(SECOND, 1.0, "s sec secs second seconds"),
    **_same(SECOND, 60.0, "m min mins minute minutes"),
    **_same(SECOND, 3600.0, "h hr hrs hour hours"),
    **_same(SECOND, 86400.0, "d day days"),
}
_WORDS: dict[str, Unit] = {
    **TIME,
    **_same(BYTE, 1.0, "b byte bytes"),
    **_bytes(1, "k", "kilo"),
    **_bytes(2, "m", "mega"),
    **_bytes(3, "g", "giga"),
    **_bytes(4, "t", "tera"),
    **_same(PERCENT, 1.0, "% percent pct pp"),
    **_same(TIMES, 1.0, "x \u00d7 times fold"),
    **_same("", 1e3, "k thousand"),
    **_same("", 1e6, "mn million"),
    **_same("", 1e9, "bn billion"),
}
# Capitals that mean something else than the small letter; 512M is megabytes as often as millions.
_LETTERS: dict[str, tuple[Unit, ...]] = {
    "K": (Unit("", 1e3, 1e3), Unit(BYTE, 1e3, 1024.0)),
    "M": (Unit("", 1e6, 1e6), Unit(BYTE, 1e6, 1024.0**2)),
    "G": (Unit("", 1e9, 1e9), Unit(BYTE, 1e9, 1024.0**3)),
}
_SHARES = frozenset({"share", "ratio", "fraction"})
# Letters that end a name without being a unit: p, x, y; b, d, h, k and m are too short to tell.
_UNITS_OF_NAMES = {name: unit for name, unit in _WORDS.items() if len(name) > 1 or name == "s"}
_UNITS_OF_NAMES.pop("times")


def named(word: str) -> tuple[Unit, ...]:
    """The units that a word behind a number may mean; empty when it is none."""
    if word in _LETTERS:
        return _LETTERS[word]
    unit = _WORDS.get(word) or (_WORDS.get(word.lower()) if len(word) > 1 else {"B": _WORDS["b"]}.get(word))
    return () if unit is None else (unit,)


def multiplied(scale: Unit, units: Iterable[Unit]) -> tuple[Unit, ...]:
    """``1.2 million bytes``: a scale before a unit."""
    factor = scale.decimal
    return tuple(dataclasses.replace(u, decimal=u.decimal * factor, binary=u.binary * factor) for u in units)


def alike(first: Unit, second: Unit) -> bool:
    """Whether two numbers may be parts of one whole: things with and without a known name are."""
    return (first.dimension or COUNT) == (second.dimension or COUNT)


def of_key(key: str) -> Unit:
    """The unit that a metric's or field's name ends with: ``rss_mb``, ``run_queue_ms``, ``mb_per_s``, ``share``."""
    words = key.lower().split("_")
    if len(words) > 2 and words[-2] == "per" and words[-1] in TIME:
        what = _UNITS_OF_NAMES.get(words[-3], PLAIN)
        return (PLAIN if what.dimension == TIMES else what).per(TIME[words[-1]].decimal)
    last = words[-1]
    if last in _SHARES:
        return SHARE
    if last in ("count", "total"):
        return NAMED
    return _UNITS_OF_NAMES.get(last, PLAIN)


def declared(unit: str) -> Unit | None:
    """The unit of a metric as it is declared, such as ``MB/s``; a name of things is ``count``; ``None`` for none."""
    what, slash, time = unit.partition("/")
    if not unit.strip():
        return None
    found = _WORDS.get(what) or _WORDS.get(what.lower()) or (NAMED if what else PLAIN)
    if slash and time in TIME:
        return (PLAIN if found == NAMED else found).per(TIME[time].decimal)
    return SHARE if unit in _SHARES else found
