"""Which metric a sentence gives a number to.

Only what is plain is recognised: a metric's name, or its words where nothing else can be meant, then a verb or sign
that states a level, then the number, in the metric's own kind of unit. ``Memory is 512 MB`` is; ``Memory grew by 512
MB``, ``peak memory is 512 MB``, ``memory is 512 MB above its bound`` and ``memory is 51 %`` are not. Whoever is not
understood is not accused: a number without a metric is only looked for in the evidence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from beamlens.findings.facts import units
from beamlens.findings.facts.numbers import Number
from beamlens.findings.facts.units import COUNT, PLAIN, Unit

_LOOK_BACK = 120

_ABOUT = re.compile(r"(?:(?<=[\s(=:])(?:about|around|roughly|approximately)\s+|[~≈]\s*)$", re.IGNORECASE)
_LEVEL = re.compile(
    r"(?:\s*[=:]\s*|\s*\(\s*"
    r"|\s+(?:(?:is|was|are|were|has been)(?:\s+(?:now|currently|still|already|at))*"
    r"|stands at|stood at|reads|reached|hit"
    r"|(?:rose|grew|climbed|went up|increased|jumped|fell|dropped|went down|decreased)\s+to)\s+)$",
    re.IGNORECASE,
)
_OF_NAME = re.compile(r"(?:\s+of|\s+at)\s+$", re.IGNORECASE)
_NOUN = re.compile(r"\s+(?:usage|use|delay|latency|level|value)$", re.IGNORECASE)
_WORDS = re.compile(r"(?:[A-Za-z]+ ){0,2}[A-Za-z]+$")
_OPENS = re.compile(
    r"(?:^|[.;,:!?()\u2013\u2014]|(?:^|\s)(?:and|but|while|the|its|our|process|resident|current|now|that))\s*$",
    re.IGNORECASE,
)
# What makes of a level a difference, a share, a rate, a range, or a level of something else.
_RELATIVE = re.compile(
    r"\s*(?:[/\u2013\u2014-]|and \d|on average"
    r"|(?:[a-z]+\s+)?(?:above|away|below|beyond|better|bigger|down|extra|fewer|free|greater|higher|larger|left|less|longer"
    r"|lower|more|over|remaining|short|shorter|slower|smaller|under|unused|up|worse"
    r"|per|each|every|of|out|points?|times|for|from|in|on|within|at|by|to|or|average|median|mean|max|peak|total)\b)",
    re.IGNORECASE,
)
_UP_FROM = re.compile(r"\s*,?\s*(?:up|down) from\b", re.IGNORECASE)
# Words that name no metric by themselves.
_VAGUE = frozenset(
    {"all", "captured", "count", "held", "level", "limit", "number", "records", "share", "size", "time", "total"}
)


class Names:
    """The metrics of a pool, by name and by words."""

    def __init__(self, metrics: Mapping[str, Unit]) -> None:
        """Take metric names with their units."""
        self._units = dict(metrics)
        spoken = {name: _spoken(name) for name in metrics}
        often = Counter(spoken.values())
        self._spoken = {words: name for name, words in spoken.items() if words and often[words] == 1}

    def metric_of(self, text: str, number: Number) -> str | None:
        """The metric whose level a number of `text` states; ``None`` when that is not plain."""
        if number.sign or number.spans or number.hedge in ("over", "under"):
            return None
        after = text[number.end : number.end + 40]
        if _RELATIVE.match(after) and not _UP_FROM.match(after):
            return None
        before = text[max(0, number.start - _LOOK_BACK) : number.start]
        before = before[: about.start()] if (about := _ABOUT.search(before)) else before
        name, written = self._named(before)
        if name is None:
            return None
        # Under its own name a value may stand without its unit.
        same = (written and number.units[0] == PLAIN) or _same_kind(self._units[name], number.units)
        return name if same else None

    def _named(self, before: str) -> tuple[str | None, bool]:
        """The metric, and whether it is called by its very name."""
        level = _LEVEL.search(before)
        end = level or _OF_NAME.search(before)
        left = "" if end is None else before[: end.start()]
        written = self._written(left)
        if written is not None or level is None:
            return written, True
        return self._said(left) or self._said(_NOUN.sub("", left)), False

    def _written(self, left: str) -> str | None:
        """The name itself, underscores and all: it can mean nothing else."""
        match = re.search(r"(?<![\w.'\u2019-])\w+$", left)
        return match[0] if match is not None and "_" in match[0] and match[0] in self._units else None

    def _said(self, left: str) -> str | None:
        match = _WORDS.search(left)
        words = [] if match is None else match[0].lower().split()
        while words:
            name = self._spoken.get(" ".join(words))
            if name is not None:
                return name if _OPENS.search(left[: len(left) - len(" ".join(words))]) else None
            words = words[1:]
        return None


def _spoken(name: str) -> str:
    """``run_queue_ms`` is "run queue" in a sentence, ``error_count_1m`` "error count"; empty for what is too vague."""
    words = name.lower().split("_")
    while len(words) > 1 and (words[-1][:1].isdigit() or words[-1] == "pct" or _is_unit(words[-1])):
        words.pop()
    if not all(word.isalpha() for word in words) or set(words) <= _VAGUE:
        return ""
    return " ".join(words)


def _is_unit(word: str) -> bool:
    unit = units.of_key(f"x_{word}")
    return unit != PLAIN and unit.dimension != COUNT


def _same_kind(own: Unit, written: tuple[Unit, ...]) -> bool:
    if own.dimension in ("", COUNT):
        return written[0] == PLAIN
    return any(unit.dimension == own.dimension for unit in written)
