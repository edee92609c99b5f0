"""The measurements in a text: value, written precision, unit, and what is said around it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from beamlens.findings.facts import units
from beamlens.findings.facts.masks import LABEL, masked
from beamlens.findings.facts.units import PLAIN, TIME, Unit

Hedge = Literal["", "about", "over", "under"]

MOST_CHARACTERS = 20_000
MOST_NUMBERS = 2_000

_WORDS = {
    word: float(value)
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
    if word != "one"  # a pronoun and an article as well
}
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]%.])[+\-\u2212])?"
    r"(?<![\w.])(?P<whole>\d{1,3}(?:[,_'\u2019]\d{3})+(?!\d)|[1-9]\d{0,2}(?:[\u2007\u2009\u202f\u00a0]\d{3})+(?!\d)"
    r"|(?P<apart>[1-9]\d{0,2}(?: \d{3})+(?![\d]|[.,]\d{3}))|\d+)(?P<part>\.\d+)?(?P<power>[eE][+-]?\d+)?"
    r"|(?<![\w-])(?P<word>" + "|".join(_WORDS) + r")(?![\w-])",
    re.IGNORECASE,
)


def _ending(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{words})\s*(?:the |a |its )?$", re.IGNORECASE)


_UNIT = re.compile(r"[ \u00a0\u202f-]?(%|\u00d7|[A-Za-zµμ]+)")
_RATE = re.compile(
    r"(?P<noun>(?: +[a-z]+){0,2}) ?(?P<per>/ ?|\bper |\ba |\ban |\bevery |\beach )"
    r"(?P<time>s|secs?|seconds?|min|mins|minutes?|h|hr|hours?|days?|ms)\b",
    re.IGNORECASE,
)
_HEDGES: dict[Hedge, re.Pattern[str]] = {
    "about": _ending(r"\babout|\baround|\broughly|\bapprox(?:imately|\.)?|\bcirca|\bca\.|\bsome|\bclose to|~|≈|±"),
    "over": _ending(r"\bover|\bmore than|\babove|\bat least|\bexceed(?:s|ed|ing)?|\bbeyond|\bgreater than|>=?|≥"),
    "under": _ending(r"\bunder|\bless than|\bbelow|\bat most|\bfewer than|\bup to|\bnearly|\balmost|<=?|≤"),
}
_LISTED = re.compile(r"\s*(?:,|/|of|out of|and|, and|or|to|->|→|-|\u2013|\u2014|vs\.?|\.\.)\s*", re.IGNORECASE)
_SPAN = re.compile(r"\s*(?:to|-|\u2013|\u2014|\.\.\.?)\s*", re.IGNORECASE)
_FROM = re.compile(r"\bfrom\s+(?:\w+\s+)?$", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s+(?:\w+\s+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Number:
    """A measurement as it is written.

    Attributes:
        text: The words, with the unit.
        value: In the written unit.
        step: Worth of the last written digit.
        units: What it may count; the first is the most likely one.
        sign: Whether a sign was written: -1, 1, or 0 for none.
        hedge: Whether it is said to be near the true value, or a bound of it.
        spans: Whether it begins a range that the next number ends, such as ``3 to 5 s``.
        start: Where it begins in the text.
        end: Where it ends, its unit included.
        apart: What it is if its spaces divide numbers and not thousands, as in ``at 450 600 orders``; empty when they
            do not.
    """

    text: str
    value: float
    step: float
    units: tuple[Unit, ...] = (PLAIN,)
    sign: int = 0
    hedge: Hedge = ""
    spans: bool = False
    start: int = 0
    end: int = 0
    apart: tuple[Number, ...] = ()

    def bounds(self) -> tuple[float, float]:
        """The values that it stands for, in the written unit: what rounds to it, and more where it is hedged."""
        half, size = self.step / 2, abs(self.value)
        low, high = self.value - half, self.value + half
        if self.hedge == "about":
            coarse = min(_last_digit(self.value, self.step) / 2, 0.1 * size)
            wide = max(half, 0.05 * size, coarse)
            low, high = self.value - wide, self.value + wide
        elif self.hedge == "over":
            high = max(high, self.value + 0.2 * size)
        elif self.hedge == "under":
            low = min(low, self.value - 0.2 * size)
        slack = max(1e-12 * size, 1e-9 * self.step)
        return low - slack, high + slack


@dataclass(slots=True)
class _Found:
    start: int
    end: int
    value: float
    step: float
    units: tuple[Unit, ...]
    sign: int
    skipped: bool
    apart: tuple[float, ...] = ()


def read(text: str, *, strict: bool = True) -> list[Number]:
    """The measurements in a text, in order; at most `MOST_NUMBERS` in its first `MOST_CHARACTERS`.

    Args:
        text: A sentence or a log line.
        strict: Whether numbers that name things (ports, lines, ids, codes) are left out; evidence keeps them.
    """
    text = text[:MOST_CHARACTERS]
    shown = masked(text, strict=strict)
    found: list[_Found] = []
    for match in _NUMBER.finditer(shown):
        one = _measure(shown, match)
        if one is None:
            continue
        listed = bool(found) and _LISTED.fullmatch(shown, found[-1].end, one.start) is not None
        if strict:
            one.skipped = _is_label(shown, one) or (listed and found[-1].skipped and one.units == (PLAIN,))
        found.append(one)
        if len(found) >= MOST_NUMBERS:
            break
    return [_number(text, shown, found, index) for index, one in enumerate(found) if not one.skipped]


def _measure(text: str, match: re.Match[str]) -> _Found | None:
    if match["word"]:
        value, step, sign = _WORDS[match["word"].lower()], 1.0, 0
    else:
        whole = re.sub(r"\D", "", match["whole"])
        power = int((match["power"] or "e0")[1:])
        if len(whole) > 30 or abs(power) > 300:
            return None
        value = float(f"{whole}{match['part'] or ''}e{power}")
        step = 10.0 ** (power - len((match["part"] or ".")[1:]))
        sign = 0 if not match["sign"] else 1 if match["sign"] == "+" else -1
        value = -value if sign < 0 else value
    if not math.isfinite(value):
        return None
    chosen, end = _units(text, match.end())
    if chosen is None:
        return None
    groups = match["apart"].split() if match["apart"] else []
    # A group that begins with 0 is no number of its own.
    apart = () if any(group[0] == "0" for group in groups) else tuple(float(group) for group in groups)
    return _Found(match.start(), end, value, step, chosen, sign, skipped=False, apart=apart)


def _units(text: str, at: int) -> tuple[tuple[Unit, ...] | None, int]:
    """The units behind a number, and where they end; ``None`` for a number that is part of a word, as in ``2nd``."""
    match = _UNIT.match(text, at)
    chosen: tuple[Unit, ...] = ()
    if match is not None:
        chosen = units.named(match[1])
        if not chosen and match.start(1) == at:
            return None, at
        if chosen:
            at = match.end()
    if chosen and chosen[0].dimension == "" and (more := _UNIT.match(text, at)) and (of := units.named(more[1])):
        chosen, at = units.multiplied(chosen[0], of), more.end()
    rate = _RATE.match(text, at)
    if rate is None:
        return chosen or (PLAIN,), at
    seconds = TIME[rate["time"].lower()].decimal
    rates = tuple((PLAIN if unit.dimension == units.TIMES else unit).per(seconds) for unit in chosen or (PLAIN,))
    if rate["per"].strip().lower() in ("/", "per"):
        return rates, rate.end()
    return (*rates, *(chosen or (PLAIN,))), at  # "12 errors in a minute" is 12, and 12 a minute


def _is_label(text: str, one: _Found) -> bool:
    return one.units == (PLAIN,) and LABEL.search(text, max(0, one.start - 40), one.start) is not None


def _number(text: str, shown: str, found: list[_Found], index: int) -> Number:
    one = found[index]
    before = shown[max(0, one.start - 24) : one.start]
    hedge = _hedge(before)
    chosen, spans = one.units, False
    following = found[index + 1] if index + 1 < len(found) else None
    if following is not None and _LISTED.fullmatch(shown, one.end, following.start):
        if chosen == (PLAIN,):
            chosen = tuple(dict.fromkeys((*following.units, PLAIN)))
        span = _SPAN.fullmatch(shown, one.end, following.start) is not None and not _FROM.search(before)
        spans = span or _BETWEEN.search(before) is not None
    written = text[one.start : one.end].strip()
    last = len(one.apart) - 1
    apart = tuple(
        Number(written, value, one.step if at == last else 1.0, chosen if at == last else (PLAIN,))
        for at, value in enumerate(one.apart)
    )
    return Number(written, one.value, one.step, chosen, one.sign, hedge, spans, one.start, one.end, apart)


def _hedge(before: str) -> Hedge:
    for hedge, words in _HEDGES.items():
        if words.search(before):
            return hedge
    return ""


def _last_digit(value: float, step: float) -> float:
    """Worth of the last digit that is not 0: about 1500 is meant to the hundred."""
    while value and step < abs(value) and math.isclose(value / (step * 10), round(value / (step * 10)), rel_tol=1e-12):
        step *= 10
    return step
