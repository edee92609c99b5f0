from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.underway import Ended, UnderWay


@dataclass
class Job:
    began: float


def test_what_goes_on_is_told_oldest_first_until_it_ends():
    first, second, third = Job(3.0), Job(1.0), Job(2.0)
    held = UnderWay(10)
    for job in (first, second, third):
        held.begin(job)
    held.end(third)
    held.end(third)
    assert held.oldest_first() == [second, first]
    held.clear()
    assert held.oldest_first() == []


def test_what_begins_while_too_many_go_on_is_counted():
    held = UnderWay(2)
    jobs = [Job(float(number)) for number in range(5)]
    for job in jobs:
        held.begin(job)
    assert (held.oldest_first(), held.unseen) == (jobs[:2], 3)


@given(st.integers(1, 5), st.lists(st.sampled_from(["put", "drain"]), max_size=40))
def test_each_that_ended_is_entered_once_in_its_order_or_counted_as_lost(most, steps):
    ended, entered, put = Ended(most), [], 0
    for step in steps:
        if step == "put":
            ended.put(put)
            put += 1
        else:
            ended.drain(entered.append)
    lost = ended.lost(len(entered))
    ended.drain(entered.append)
    assert entered == sorted(set(entered))
    assert len(entered) + lost == put
    assert ended.lost(len(entered)) == lost
