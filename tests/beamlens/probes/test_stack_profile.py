from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.probes import stack_profile
from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack
from beamlens.probes.stack_profile import WINDOWS, Profile, Window, changes, hottest


def stack(name, module="shop", file="/srv/shop.py", line=1):
    return Stack((Frame(file, line, name, module),))


OLD, NEW = stack("old"), stack("new", line=2)


def window(began, **cpu):
    found = Window(began, seconds=10.0)
    for name, seconds in cpu.items():
        found.add({"old": OLD, "new": NEW}[name], 10.0, seconds)
    return found


def test_what_is_hot_now_and_was_not_before_is_told_with_both_shares():
    before = [window(0.0, old=5.0), window(10.0, old=5.0)]
    after = [window(20.0, old=2.0, new=6.0)]
    (risen,) = changes(before, after, 10)
    assert (risen.frame.function, risen.share, risen.before) == ("new", 0.75, 0.0)
    assert changes(before, before, 10) == []


def test_the_hottest_lines_come_first_and_only_so_many():
    rows = hottest([window(0.0, old=1.0, new=3.0)], 5)
    assert [(row.frame.function, row.share) for row in rows] == [("new", 0.75), ("old", 0.25)]
    assert len(hottest([window(0.0, old=1.0, new=3.0)], 1)) == 1


def test_where_cpu_is_not_told_by_thread_the_time_of_those_that_do_not_wait_counts():
    waits = Stack((Frame("/usr/lib/python3/threading.py", 3, "wait", "threading"), Frame("/srv/a.py", 1, "f", "a")))
    found = Window(0.0, seconds=10.0)
    found.add(OLD, 4.0, 0.0)
    found.add(waits, 10.0, 0.0)
    assert {frame.function: seconds for frame, seconds in stack_profile.hot([found]).items()} == {"old": 4.0}


def test_the_past_is_five_minutes_long():
    profile = Profile()
    for second in range(0, 1000, 5):
        profile.at(float(second))
    assert len(profile.windows) == WINDOWS
    assert profile.windows[0].began == 700.0
    assert profile.covered(1000.0) == 300.0


def test_windows_are_found_by_time():
    profile = Profile()
    for second in (0.0, 10.0, 20.0):
        profile.at(second).seconds = 10.0
    assert [found.began for found in profile.between(12.0, 15.0)] == [10.0]
    assert [found.began for found in profile.between(5.0, 25.0)] == [0.0, 10.0, 20.0]


@given(st.lists(st.tuples(st.integers(0, 800), st.floats(0, 1), st.floats(0, 1)), max_size=1000))
def test_a_window_keeps_so_many_stacks_and_counts_what_it_drops(looks):
    stacks = [stack(f"f{number}", line=number + 1) for number in range(801)]
    found = Window(0.0)
    for number, wall, cpu in looks:
        found.add(stacks[number], wall, cpu)
    assert len(found.stacks) <= 300
    assert sum(spent.looks for spent in found.stacks.values()) + found.dropped == len(looks)


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), max_size=500))
def test_cpu_of_threads_adds_up_as_long_as_they_are_few(burnt):
    found = Window(0.0)
    for ident, cpu in burnt:
        found.burn(ident, ident, "t", cpu)
    assert len(found.threads) <= 300
    if len({ident for ident, _ in burnt}) <= 300:
        total = sum(one.cpu for one in stack_profile.burners([found]).values())
        assert total == pytest.approx(sum(cpu for _, cpu in burnt))
