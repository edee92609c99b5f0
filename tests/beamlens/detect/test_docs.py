from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "detectors.md"


def test_the_example_on_the_page_does_what_it_says(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    said = re.findall(r"print\(alarms\)  # (.*)", example)
    assert capsys.readouterr().out.splitlines() == said
