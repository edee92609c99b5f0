from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.acceptance import functions_of

HERE = Path(__file__).parent
LINES = [line for line in (HERE / "CHECKLIST.md").read_text().splitlines() if line.startswith("- ")]
NAME = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_the_checklist_has_all_lines_of_the_seed():
    assert len(LINES) == 31


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[2:40])
def test_each_line_has_tests_that_exist(line):
    names = NAME.findall(line)
    assert names
    for file, name in names:
        assert name in functions_of(HERE / file), f"{file} has no {name}"
