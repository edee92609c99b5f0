"""Keeps a table of acceptance items true: every item has a row, and every test that a row names exists.

A table is Markdown: `| items | tests | note |`, where items are numbers and ranges (`28-30, 40`), tests are in
backticks as `test_file.py::test_name` (beside the table) or `tests/folder/test_file.py::test_name`, and a row without
a test says in its note what was decided instead.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]

_ROW = re.compile(r"^\|\s*(?P<items>\d[\d\s,-]*)\|(?P<tests>[^|]*)\|(?P<note>[^|]*)\|\s*$")


@dataclass(frozen=True)
class Row:
    """One row: item numbers, test names as written, and the note."""

    items: tuple[int, ...]
    tests: tuple[str, ...]
    note: str


def read(table: Path) -> list[Row]:
    """The rows of `table` that begin with a number."""
    found = (_ROW.match(line) for line in table.read_text(encoding="utf-8").splitlines())
    return [Row(_items(m["items"]), tuple(re.findall(r"`([^`]+)`", m["tests"])), m["note"].strip()) for m in found if m]


def problems(table: Path, items: Iterable[int]) -> list[str]:
    """What is wrong with `table`, which has to speak of `items`; empty when nothing is."""
    rows = read(table)
    spoken_of = [item for row in rows for item in row.items]
    wanted = set(items)
    found = [f"item {item} has no row" for item in sorted(wanted - set(spoken_of))]
    found += [f"item {item} is none of the list" for item in sorted(set(spoken_of) - wanted)]
    found += [f"item {item} has two rows" for item in sorted(set(spoken_of)) if spoken_of.count(item) > 1]
    for row in rows:
        if not row.tests and not row.note:
            found.append(f"item {row.items[0]} has neither a test nor a reason")
        found += [f"item {row.items[0]}: there is no test {name}" for name in row.tests if not _exists(table, name)]
    return found


def _items(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def _exists(table: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    path = ROOT / file if "/" in file else table.parent / file
    return name.startswith("test_") and path.is_file() and name in functions_of(path)


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Names of the functions that a file defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
