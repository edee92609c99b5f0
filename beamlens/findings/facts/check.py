"""Whether the numbers of a text follow from a pool of evidence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beamlens.findings.facts.numbers import Number, read
from beamlens.findings.facts.pool import Operand, Pool
from beamlens.findings.facts.units import COUNT, PERCENT, PLAIN, SECOND, TIMES, Unit
from beamlens.findings.facts.values import Values

MOST_CLAIMS = 100
"""Numbers of a text that are checked; a text with more of them is not verified."""

_PASSES = 3
_NEAR = 8
_HOW_COUNTED = frozenset({"", "1m", "5m", "count", "kb", "limit", "mb", "gb", "m", "number", "pct", "rate", "total"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A number that is given to a metric which never had it.

    Attributes:
        text: The number as it is written.
        metric: The metric's name.
        level: Its last value, with its unit.
    """

    text: str
    metric: str
    level: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Attributes:
        checked: How many numbers there were to check.
        missing: Those that are not in the evidence, or there for another metric, as they are written, each once.
        mismatched: Those of them that are given to a metric, with what it really is.
    """

    checked: int
    missing: tuple[str, ...]
    mismatched: tuple[Mismatch, ...] = ()

    @property
    def verified(self) -> bool | None:
        """Whether all were found; ``None`` when there was nothing to check."""
        return None if self.checked == 0 else not self.missing


def check(text: str, pool: Pool) -> Verdict:
    """Look for each measurement of a text in the evidence.

    A number is found when a value of the evidence rounds to it in its unit, or when it is the difference, the change
    in percent, the ratio, the share or the rate of two values that belong together: the same metric in two snapshots, a
    metric and its bound, a part and the whole beside it, or two numbers of the text that were found themselves. A
    number that the text plainly gives to a metric must not be there for other metrics only.
    """
    numbers = read(text)
    claims = numbers[:MOST_CLAIMS]
    metrics = [pool.metric_of(text, number) for number in claims]
    strays = [
        metric is not None and _strays(number, metric, pool) for number, metric in zip(claims, metrics, strict=True)
    ]
    found = [
        not stray and (_direct(number, pool.values) or _derived(number, pool))
        for number, stray in zip(claims, strays, strict=True)
    ]
    for _ in range(_PASSES):
        now = [ok or (not strays[index] and _follows_from_text(index, claims, found)) for index, ok in enumerate(found)]
        if now == found:
            break
        found = now
    found = _ranges(claims, found, pool.values)
    missing = [number.text for number, ok in zip(claims, found, strict=True) if not ok]
    missing += [number.text for number in numbers[MOST_CLAIMS:]]
    mismatched = [
        Mismatch(number.text, metric, pool.level(metric))
        for number, metric, ok in zip(claims, metrics, found, strict=True)
        if metric is not None and not ok
    ]
    return Verdict(len(numbers), tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(mismatched)))


def _direct(number: Number, *bags: Values) -> bool:
    """Whether a value rounds to it; one whose spaces may divide numbers is there if each of them is."""
    whole = any(
        values.hold(unit, low, high) for values in bags for unit in number.units for low, high in _intervals(number)
    )
    return whole or (bool(number.apart) and all(_direct(one, *bags) for one in number.apart))


def _strays(number: Number, metric: str, pool: Pool) -> bool:
    """Whether the evidence has it, but for other metrics only, and it does not follow from what is named alike."""
    return (
        _direct(number, pool.values)
        and not _direct(number, *pool.may_be(metric))
        and not _derived(number, pool, metric)
    )


def _intervals(number: Number) -> list[tuple[float, float]]:
    low, high = number.bounds()
    # What fell by 5 has changed by -5: without a sign only the size counts.
    return [(low, high)] if number.sign else [(low, high), (-high, -low)]


def _derived(number: Number, pool: Pool, metric: str | None = None) -> bool:
    """Whether it follows from two values that belong together; `metric`: and are named with a word of its name."""
    intervals, about = _intervals(number), None if metric is None else _words(metric)
    series = [pair for pair in pool.series() if about is None or about & _words(pair[0].name)]
    shares = [pair for pair in pool.shares() if about is None or about & _words(f"{pair[0].name}_{pair[1].name}")]
    for unit in number.units:
        if any(_follows(unit, intervals, older, newer, number.sign) for older, newer in series):
            return True
        if any(_is_rest(unit, intervals, part, whole) for part, whole in shares):
            return True
        scale = 1.0 if unit.dimension == PERCENT else 100.0 if unit == PLAIN and 0 < number.value < 1 else 0.0
        scaled = [(low * scale, high * scale) for low, high in intervals]
        if scale and any(_is_share(scaled, part, whole) for part, whole in shares):
            return True
    return False


def _words(name: str) -> set[str]:
    """The words of a name, in the singular, without those that say how it is counted."""
    return {word.removesuffix("s") for word in name.lower().split("_")} - _HOW_COUNTED


def _follows_from_text(index: int, claims: Sequence[Number], found: Sequence[bool]) -> bool:
    """Whether a number follows from two others that stand near it and were found."""
    near = range(max(0, index - _NEAR), min(len(claims), index + _NEAR + 1))
    said = [Operand(claims[at].value, claims[at].units[0]) for at in near if found[at]]
    intervals = _intervals(claims[index])
    return any(
        _follows(unit, intervals, one, other, 0)
        for unit in claims[index].units
        for one, other in itertools.combinations(said, 2)
    )


def _follows(unit: Unit, intervals: Sequence[tuple[float, float]], older: Operand, newer: Operand, sign: int) -> bool:
    if unit.dimension in (PERCENT, TIMES):
        return _is_ratio(unit, intervals, older, newer, sign) or (
            older.unit.dimension == newer.unit.dimension == unit.dimension
            and _is_difference(unit, intervals, older, newer)
        )
    if unit.dimension.endswith("/s"):
        return _is_rate(unit, intervals, older, newer)
    return _is_difference(unit, intervals, older, newer)


def _is_difference(unit: Unit, intervals: Sequence[tuple[float, float]], older: Operand, newer: Operand) -> bool:
    if older.unit.dimension != newer.unit.dimension:
        return False
    return any(
        low * factor <= change <= high * factor
        for factor, change in _changes(unit, older, newer)
        for low, high in intervals
    )


def _changes(unit: Unit, older: Operand, newer: Operand) -> Iterator[tuple[float, float]]:
    """The change by each convention, with the factor that makes a claim comparable to it."""
    dimension = older.unit.dimension
    if not unit.dimension or unit.dimension == COUNT:
        if older.unit == newer.unit:
            yield unit.decimal, newer.value - older.value
    elif dimension == unit.dimension:
        yield unit.decimal, newer.value * newer.unit.decimal - older.value * older.unit.decimal
        yield unit.binary, newer.value * newer.unit.binary - older.value * older.unit.binary
    elif not dimension:
        yield 1.0, newer.value - older.value
        yield unit.decimal, newer.value - older.value
        yield unit.binary, newer.value - older.value


def _is_ratio(
    unit: Unit, intervals: Sequence[tuple[float, float]], older: Operand, newer: Operand, sign: int = 0
) -> bool:
    if older.unit.dimension != newer.unit.dimension:
        return False
    first, second = older.value * older.unit.decimal, newer.value * newer.unit.decimal
    factor = 100.0 if unit.dimension == PERCENT else 1.0
    for base, top, way in ((first, second, 1), (second, first, -1)):
        if not base or (sign and way < 0):
            continue
        ratio = top / base
        claims = (ratio * factor, (ratio - 1) * factor) if unit.dimension == PERCENT else (ratio,)
        if any(low <= claim <= high for claim in claims for low, high in intervals):
            return True
    return False


def _is_rest(unit: Unit, intervals: Sequence[tuple[float, float]], part: Operand, whole: Operand) -> bool:
    """What is left of a whole; one of them may be named without its unit."""
    known = part.unit if part.unit.dimension else whole.unit
    return _is_difference(unit, intervals, Operand(part.value, known), Operand(whole.value, known))


def _is_share(intervals: Sequence[tuple[float, float]], part: Operand, whole: Operand) -> bool:
    base = whole.value * whole.unit.decimal
    share = 100 * part.value * part.unit.decimal / base if base else -1.0
    return any(low <= share <= high for low, high in intervals)


def _is_rate(unit: Unit, intervals: Sequence[tuple[float, float]], older: Operand, newer: Operand) -> bool:
    what = unit.dimension.removesuffix("/s")
    for amount, per in _amounts(older, newer):
        if per <= 0 or (what and amount.unit.dimension not in ("", what)):
            continue
        for own, factor in ((unit.decimal, amount.unit.decimal), (unit.binary, amount.unit.binary)):
            if any(low * own <= amount.value * factor / per <= high * own for low, high in intervals):
                return True
    return False


def _amounts(older: Operand, newer: Operand) -> Iterator[tuple[Operand, float]]:
    """What changed in how many seconds: between two snapshots, or an amount and a time that the text tells."""
    if older.at is not None and newer.at is not None:
        if older.unit == newer.unit:
            yield Operand(newer.value - older.value, newer.unit), newer.at - older.at
        return
    for amount, time in ((older, newer), (newer, older)):
        if time.unit.dimension == SECOND and amount.unit.dimension != SECOND:
            yield amount, time.value * time.unit.decimal


def _ranges(numbers: Sequence[Number], found: Sequence[bool], values: Values) -> list[bool]:
    """A range holds when both ends do, or when it is narrow and a value lies in it."""
    settled = list(found)
    for index, (low, high) in enumerate(itertools.pairwise(numbers)):
        if not low.spans or (settled[index] and settled[index + 1]):
            continue
        bottom, top = low.bounds()[0], high.bounds()[1]
        if 0 < low.value < high.value <= 2 * low.value and any(values.hold(u, bottom, top) for u in high.units):
            settled[index] = settled[index + 1] = True
    return settled
