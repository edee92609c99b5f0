"""The example of the library's README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[2] / "supervision" / "README.md"


def test_the_example_runs_and_prints_its_tree(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, str(README), "exec"), namespace)
    assert capsys.readouterr().out.splitlines() == [
        "Shop (supervisor, running)",
        "├── store (worker, running)",
        "├── feed (worker, running)",
        "└── tasks (supervisor, running)",
    ]
    assert not namespace["sup"].is_alive()
