"""All numbers that a run has evidence for, ready to be looked up."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from beamlens.findings.facts import units
from beamlens.findings.facts.names import Names
from beamlens.findings.facts.numbers import Number, read
from beamlens.findings.facts.units import NAMED, PERCENT, PLAIN, SECOND, Unit
from beamlens.findings.facts.values import Values

MOST = 20_000
"""Numbers that are kept; those added first win."""

_MOST_CHARACTERS = 200_000
_MOST_DEEP = 20
_SERIES = 300
_SHARES = 200
_FAMILY = 60
_OLDEST, _LATEST = 2, 4


_WHOLES = frozenset({"all", "available", "capacity", "limit", "max", "maximum", "of", "size", "total"})
_GENERIC = frozenset({"b", "bytes", "count", "gb", "kb", "mb", "ms", "number", "s", "seconds", ""})


@dataclass(frozen=True, slots=True)
class Operand:
    """A number that others may be derived from.

    Attributes:
        value: In its own unit.
        unit: Its unit.
        at: When it was measured, seconds on any clock; ``None`` when that is not known.
        name: What it is called in the evidence; empty when it is not.
    """

    value: float
    unit: Unit
    at: float | None = None
    name: str = ""


class Pool:
    """Numbers of snapshots, results and texts. Bounded in numbers, characters and depth; what is beyond is left out."""

    def __init__(self, declared: Mapping[str, str] | None = None) -> None:
        """Make an empty pool.

        Args:
            declared: Metric name to unit; other names tell their unit by their ending.
        """
        self._declared = {name: found for name, text in (declared or {}).items() if (found := units.declared(text))}
        self._written = dict(declared or {})
        self.values = Values()
        self._nobodys = Values()
        self._metrics: dict[str, Values] = {}
        self._levels: dict[str, tuple[float, float]] = {}
        self._names: Names | None = None
        self._series: dict[str, list[Operand]] = defaultdict(list)
        self._shares: list[tuple[Operand, Operand]] = []
        self._bounds: list[tuple[Operand, Operand]] = []
        self._characters = 0
        self._count = 0

    def add_snapshot(self, data: Mapping[str, Any], at: float) -> None:
        """Add a snapshot's data, taken at a time: its numbers can be compared with those of other snapshots.

        Its names are those of metrics: from now on, what is added under one of them, or said of it in a text, counts
        as its value.
        """
        for name, value in data.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
                self._note_level(str(name), float(value), at)
        self._walk(data, "", at, 0)
        self._note_series("captured_at", Operand(at, Unit(SECOND), at))

    def add(self, value: Any) -> None:
        """Add a JSON value, such as a tool's result: numbers, texts, and how many items its parts have."""
        self._walk(value, "", None, 0)

    def add_text(self, text: str) -> None:
        """Add what a text says, such as a sensor's reason."""
        if self._characters < _MOST_CHARACTERS:
            self._characters += len(text)
            for number in read(text, strict=False):
                metric = self.metric_of(text, number)
                for one in (number, *number.apart):
                    for unit in one.units:
                        self.put(one.value, unit, metric)

    def add_bound(self, name: str, bound: float, value: float) -> None:
        """Add a metric's bound, and its value that is compared with it."""
        unit = self._unit(name)
        self.put(bound, unit, name)
        self._bounds.append((Operand(bound, unit, name=name), Operand(value, unit, name=name)))

    def put(self, value: float, unit: Unit = PLAIN, metric: str | None = None) -> None:
        """Add one number; `metric`: whose it is, as far as that is known."""
        if self._count >= MOST or not math.isfinite(value):
            return
        self._count += 1
        self.values.put(value, unit)
        self._metrics.get(metric or "", self._nobodys).put(value, unit)

    def metric_of(self, text: str, number: Number) -> str | None:
        """The metric of a snapshot whose level a number of `text` states; ``None`` when that is not plain."""
        if self._names is None:
            self._names = Names({name: self._unit(name) for name in self._metrics})
        return self._names.metric_of(text, number)

    def may_be(self, metric: str) -> tuple[Values, ...]:
        """Where a metric's values may be: all numbers but those that are plainly another metric's."""
        return (self._metrics[metric], self._nobodys)

    def level(self, metric: str) -> str:
        """A metric's value in the last snapshot, with its unit."""
        return f"{self._levels[metric][1]:.6g} {self._written.get(metric, '')}".strip()

    def series(self) -> Iterator[tuple[Operand, Operand]]:
        """Each two numbers of the same name in two snapshots, the older first; a bound before what it bounds."""
        yield from self._bounds[:_SHARES]
        for operands in self._series.values():
            ordered = sorted(operands, key=lambda one: one.at or 0.0)
            if len(ordered) > _OLDEST + _LATEST:
                ordered = [*ordered[:_OLDEST], *ordered[-_LATEST:]]
            yield from itertools.combinations(ordered, 2)

    def shares(self) -> Iterator[tuple[Operand, Operand]]:
        """Each number with the whole that stands beside it in one object, such as ``used`` and ``limit``."""
        yield from self._shares

    def _note_series(self, path: str, operand: Operand) -> None:
        if path in self._series or len(self._series) < _SERIES:
            self._series[path].append(operand)

    def _note_level(self, name: str, value: float, at: float) -> None:
        if name not in self._metrics:
            self._metrics[name] = Values()
            self._names = None
        self._levels[name] = max(self._levels.get(name, (at, value)), (at, value))

    def _walk(self, value: Any, path: str, at: float | None, depth: int) -> None:
        if self._count >= MOST or depth > _MOST_DEEP:
            return
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            self._leaf(value, path, at)
        elif isinstance(value, str):
            self.add_text(value)
        elif isinstance(value, Mapping):
            self._object(value, path, at, depth)
        elif isinstance(value, Sequence):
            self._count_items(value)
            self._repeated(value)
            for item in value[:MOST]:
                self._walk(item, path, at, depth + 1)

    def _object(self, value: Mapping[Any, Any], path: str, at: float | None, depth: int) -> None:
        self._count_items(value)
        numbers = {}
        for key, item in list(value.items())[:MOST]:
            self.add_text(str(key))
            self._walk(item, f"{path}.{key}" if path else str(key), at, depth + 1)
            if isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < 1e300:
                numbers[str(key)] = Operand(float(item), self._unit(str(key)), name=str(key))
        if len(numbers) <= _FAMILY:
            self._note_shares(numbers)

    def _note_shares(self, numbers: Mapping[str, Operand]) -> None:
        """Any two numbers have a ratio; one that means something is that of a part to its own whole."""
        for whole, limit in numbers.items():
            words = set(whole.lower().split("_"))
            if not words & _WHOLES or limit.unit.dimension == PERCENT or len(self._shares) >= _SHARES:
                continue
            about = {word for word in words - _WHOLES - _GENERIC if not word[0:1].isdigit()}
            for part, operand in numbers.items():
                of_it = set(part.lower().split("_"))
                if part != whole and about <= of_it and not of_it & _WHOLES and units.alike(operand.unit, limit.unit):
                    self._shares.append((operand, limit))

    def _leaf(self, value: float, path: str, at: float | None) -> None:
        if abs(value) > 1e300 or value != value:  # noqa: PLR0124 - not a number
            return
        name = path.rpartition(".")[2]
        unit = self._unit(name)
        self.put(float(value), unit, name)
        if at is not None:
            self._note_series(path, Operand(float(value), unit, at, name))

    def _count_items(self, value: Sized) -> None:
        if len(value) != 1:
            self.put(float(len(value)), NAMED)

    def _unit(self, key: str) -> Unit:
        return self._declared.get(key) or units.of_key(key)

    def _repeated(self, rows: Sequence[Any]) -> None:
        """How often the same word stands in a column: what a reader of the rows counts."""
        columns: Counter[tuple[str, str]] = Counter()
        for row in rows[:500]:
            if isinstance(row, Mapping):
                columns.update((str(k), v) for k, v in row.items() if isinstance(v, str) and len(v) <= 100)
            elif isinstance(row, str) and len(row) <= 100:
                columns["", row] += 1
        for count in set(columns.values()):
            self.put(float(count), NAMED)
