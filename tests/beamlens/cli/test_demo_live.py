from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.panel import Panel

from beamlens.cli.demo_live import LiveView, Numbers, arrange
from beamlens.cli.demo_views import source
from beamlens.evidence import Place
from beamlens_actors.testing import FakeClock

TREE = [f"node {number}" for number in range(18)]
LOG = [f"record {number}" for number in range(5)]
FOUND = [(f"alert {number}: " + "grew " * 40, "yellow") for number in range(4)] + [("insight: the cause", "green")]


def screen(width, height):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)


def lines(console, picture):
    console.print(picture)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 15), (200, 24), (120, 60)])
def test_what_was_found_is_seen_on_every_screen_and_nothing_is_beyond_its_end(width, height):
    console = screen(width, height)
    shown = lines(console, arrange(console, Panel("watchers"), FOUND, TREE, LOG))
    assert len(shown) < height
    assert any("insight: the cause" in line for line in shown)


def test_a_large_screen_shows_all_of_it_and_a_small_one_says_what_is_cut():
    large = screen(120, 60)
    shown = "\n".join(lines(large, arrange(large, Panel("watchers"), FOUND, TREE, LOG)))
    assert all(text in shown for text in ("alert 0", "alert 3", "node 17", "record 0", "record 4"))
    small = screen(80, 24)
    cut = "\n".join(lines(small, arrange(small, Panel("watchers"), FOUND, TREE, LOG)))
    assert "node 0" in cut
    assert "node 17" not in cut
    assert "│ ..." in cut


def lens():
    watchers = [SimpleNamespace(name="runtime", state="healthy", running=False)]
    one = SimpleNamespace(running=True, tree=lambda: "the tree")
    one.list_watchers = lambda: watchers
    return one


def drawn(view):
    console = screen(100, 40)
    return "\n".join(lines(console, view._render()))


def test_the_last_picture_stays_when_the_instance_has_ended():
    view, running = LiveView(None), lens()
    view.event("started", running)
    view.event("state", ("runtime", "warning", "memory \x1b[2J grew"))
    before = drawn(view)
    assert "the tree" in before
    assert "warning" in before
    assert "\\x1b[2J grew" in before
    running.running = False
    assert drawn(view) == before


def test_an_instance_that_ends_while_it_is_drawn_leaves_the_last_picture():
    view, running = LiveView(None), lens()
    view.event("started", running)
    before = drawn(view)

    def ended():
        raise RuntimeError("ended")

    running.list_watchers = ended
    assert drawn(view) == before


def test_the_numbers_are_read_once_a_second_and_tell_cpu_from_the_second_reading_on():
    with FakeClock() as clock:
        numbers = Numbers()
        first = numbers.line()
        assert first.startswith("memory ")
        assert "cpu" not in first
        assert numbers.line() is first
        clock.advance(1.0)
        assert numbers.line().endswith(" of a core")


def test_code_on_the_screen_cannot_drive_the_terminal(tmp_path):
    path = tmp_path / "code.py"
    path.write_text("a = 1\n\tb = '\x1b[2J'\n")
    assert source(Place(file=str(path), line=1)) == "a = 1\n    b = '\\x1b[2J'"
