"""The table of acceptance items names tests that exist, and the check of that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.acceptance import problems

TABLE = Path(__file__).with_name("ACCEPTANCE.md")
ITEMS = [*range(1, 76), *range(90, 97), 104, 108]

pytestmark = pytest.mark.backend("threads")


def test_every_item_has_a_row_and_every_test_in_it_exists() -> None:
    assert problems(TABLE, ITEMS) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("| 1 | `test_here.py::test_it` | |", None),
        ("| 1 | | decided otherwise |", None),
        ("| 1 | | |", "item 1 has neither a test nor a reason"),
        ("| 1 | `test_here.py::test_other` | |", "item 1: there is no test test_here.py::test_other"),
        ("| 1 | `test_gone.py::test_it` | |", "item 1: there is no test test_gone.py::test_it"),
        ("| 1 | `test_here.py::helper` | |", "item 1: there is no test test_here.py::helper"),
        ("| 1-2 | `test_here.py::test_it` | |", "item 2 is none of the list"),
        ("| item | tests | note |", "item 1 has no row"),
    ],
)
def test_a_table_that_is_not_true_is_found_out(tmp_path: Path, row: str, problem: str | None) -> None:
    (tmp_path / "test_here.py").write_text("def test_it(): ...\ndef helper(): ...\n", encoding="utf-8")
    table = tmp_path / "ACCEPTANCE.md"
    table.write_text(f"# Items\n\n{row}\n", encoding="utf-8")
    assert problems(table, [1]) == ([] if problem is None else [problem])
