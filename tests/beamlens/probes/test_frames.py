from __future__ import annotations

import json
import sys

import pytest

from beamlens.probes import frames
from beamlens.probes.frames import Frame


def frame(file, module="m", line=1):
    return Frame(file, line, "f", module)


STANDARD = json.__file__
LIBRARY = pytest.__file__


@pytest.mark.parametrize(
    ("module", "file", "whose"),
    [
        ("shop.cache", "/srv/shop/cache.py", "user"),
        ("__main__", "/srv/app.py", "user"),
        ("beamlens.watcher", "/srv/beamlens/watcher.py", "ours"),
        ("beamlens_actors.cell", "/srv/cell.py", "ours"),
        ("json", STANDARD, "python"),
        ("pytest", LIBRARY, "library"),
        ("x", "<string>", "python"),
        ("x", "<frozen importlib._bootstrap>", "python"),
    ],
)
def test_whose_code_it_is(module, file, whose):
    if frames.is_own_module(module):
        found = "ours"
    elif frames.is_standard_file(file):
        found = "python"
    else:
        found = "library" if frames.is_library_file(file) else "user"
    assert found == whose


def test_the_innermost_line_of_the_user_is_the_place():
    stack = [frame(STANDARD, "json"), frame(LIBRARY, "pytest"), frame("/srv/a.py", line=7), frame("/srv/b.py")]
    assert (frames.user_place(stack).file, frames.user_place(stack).line) == ("/srv/a.py", 7)


def test_without_a_line_of_the_user_a_librarys_is_the_place_and_never_ours_or_pythons():
    assert frames.user_place([frame(STANDARD, "json"), frame(LIBRARY, "pytest", 5)]).file == LIBRARY
    assert frames.user_place([frame(STANDARD, "json"), frame("/x.py", "beamlens.x")]) is None


def test_a_stack_is_read_innermost_first_as_text():
    (first, *_rest) = frames.walk(sys._getframe())
    assert (first.file, first.function) == (__file__, "test_a_stack_is_read_innermost_first_as_text")
