"""What the pages point at is there."""

from __future__ import annotations

import re

import pytest

from beamlens.cli import main
from tests.docs.pages import PAGES, ROOT, fences, name, prose, text

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:actors|beamlens|benchmarks|docs|examples|supervision|tests)/[\w./-]+\.(?:py|md|toml))`")
_COMMAND = re.compile(r"(?:^|/|`)beamlens ([a-z]+)", re.MULTILINE)


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_that_exist(page):
    broken = []
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _hash, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page):
    assert [file for file in _FILE.findall(text(page)) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_shown_exist(page):
    shown = "\n".join([*(code for info, code in fences(page) if not info), *re.findall(r"`[^`\n]+`", prose(page))])
    assert set(_COMMAND.findall(shown)) <= set(main.commands)


@pytest.mark.parametrize("page", ["README.md", "docs/examples.md"])
def test_every_example_is_shown(page):
    shown = (ROOT / page).read_text(encoding="utf-8")
    assert [path.name for path in ROOT.glob("examples/*.py") if path.name not in shown] == []


def test_every_page_of_the_site_is_in_its_navigation():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md"))
