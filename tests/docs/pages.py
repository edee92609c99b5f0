"""The pages of the documentation, and the code on them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
    + [ROOT / "actors" / "README.md", ROOT / "supervision" / "README.md"]
)
ILLUSTRATIVE = re.compile(r'python title="Illustration(: [^"]+)?"')
"""The info string of a block that cannot run where it stands: it needs what the reader has."""

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """A page by its path from the root."""
    return page.relative_to(ROOT).as_posix()


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path) -> list[tuple[str, str]]:
    """Info string and content of each block of code."""
    return _FENCE.findall(text(page))


def prose(page: Path) -> str:
    """What is no block of code."""
    return _FENCE.sub("", text(page))


def examples(page: Path) -> list[str]:
    """The blocks that are to run, in their order."""
    return [code for info, code in fences(page) if info == "python" and not code.startswith("--8<--")]
