"""The code on every page runs, from top to bottom, and prints what its comments say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.docs.pages import ILLUSTRATIVE, PAGES, ROOT, examples, fences, name

_TESTS = {
    path: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py") if path.parent.name != "docs"
}


def has_a_test_of_its_own(page):
    """Pages whose examples need something around them: a test names the file, and runs them."""
    *_, folder, file = page.parts
    pattern = re.compile(rf'"{re.escape(file)}"')
    return any(
        pattern.search(source) and ("README" not in file or f'"{folder}"' in source) and "```python" in source
        for source in _TESTS.values()
    )


RUN = [page for page in PAGES if examples(page) and not has_a_test_of_its_own(page)]
_PRINTS = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)


def test_the_pages_with_tests_of_their_own_are_these():
    own = {name(page) for page in PAGES if examples(page)} - {name(page) for page in RUN}
    assert own >= {"docs/detectors.md", "docs/domains/custom.md", "docs/providers.md", "docs/sessions.md"}
    assert "README.md" not in own


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_is_marked_as_what_it_is(page):
    infos = {info for info, _code in fences(page) if info.startswith("py")} - {"python"}
    assert [info for info in infos if not ILLUSTRATIVE.fullmatch(info)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_that_cannot_run_is_python_all_the_same(page):
    for info, code in fences(page):
        if ILLUSTRATIVE.fullmatch(info):
            ast.parse(code)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The pages' programs, some at a time, for most of them wait."""
    with ThreadPoolExecutor(4) as pool:
        slow_first = sorted(RUN, key=lambda page: "operators" not in page.name)
        yield {page: pool.submit(run, page, tmp_path_factory.mktemp("page")) for page in slow_first}


def run(page, folder):
    program = folder / "page.py"
    program.write_text("\n\n".join(examples(page)), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BEAMLENS_")}
    environment.pop("ANTHROPIC_API_KEY", None)
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "actors", ROOT / "supervision")))
    return subprocess.run(
        [sys.executable, program], capture_output=True, text=True, env=environment, cwd=folder, timeout=110, check=False
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_printed_is_promised_on_the_line_of_its_print(page):
    """A call over several lines would be a promise that nobody compares."""
    assert re.findall(r"^ *\)  # .+$", "\n".join(examples(page)), re.MULTILINE) == []


@pytest.mark.parametrize("page", RUN, ids=name)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, programs):
    done = programs[page].result()
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for promised in _PRINTS.findall("\n\n".join(examples(page))):
        pattern = re.compile(r".*".join(map(re.escape, promised.split("..."))) + "$")
        found = next((number for number, line in enumerate(said) if pattern.match(line)), None)
        assert found is not None, f"{promised!r} was not printed, but:\n{done.stdout}"
        del said[: found + 1]  # what is promised after it is looked for after it
