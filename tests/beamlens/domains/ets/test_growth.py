from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.ets.growth import History, Sample
from beamlens.domains.ets.hit_rate import HitRate


def history(*sizes, name="t", step=60.0):
    made = History()
    for number, size in enumerate(sizes):
        made.add(Sample(number * step, 100.0 + number, {} if size is None else {name: size}))
    return made


def test_growth_is_the_newest_against_the_oldest_and_shrinking_is_negative():
    made = History()
    made.add(Sample(0.0, 10.0, {"grows": 100, "shrinks": 500, "same": 7}))
    made.add(Sample(60.0, 15.0, {"grows": 150, "shrinks": 50, "same": 7}))
    changes = {change.name: change for change in made.changes()}
    assert (changes["grows"].delta, changes["grows"].pct) == (50, 50.0)
    assert (changes["shrinks"].delta, changes["shrinks"].pct) == (-450, -90.0)
    assert (changes["same"].delta, changes["same"].only_grows) == (0, False)
    assert [change.name for change in made.changes()] == ["grows", "same", "shrinks"]
    assert made.rss_growth_mb() == 5.0


def test_samples_that_come_out_of_order_are_put_in_order():
    made = History()
    made.add(Sample(60.0, None, {"t": 200}))
    made.add(Sample(0.0, None, {"t": 100}))
    assert made.changes()[0].delta == 100


def test_only_the_asked_minutes_count():
    made = history(0, 1000, 1001, 1002)
    assert made.changes()[0].delta == 1002
    assert made.changes(120.0)[0].delta == 2


def test_a_table_that_once_shrank_does_not_only_grow():
    assert history(1, 2, 3).changes()[0].only_grows
    assert not history(1, 5, 4, 9).changes()[0].only_grows


def test_a_new_table_grew_by_a_hundred_percent_and_one_that_is_gone_is_left_out():
    assert (history(None, 40).changes()[0].pct, history(None, 40).changes()[0].before) == (100.0, None)
    assert history(40, None).changes() == []


def test_one_sample_tells_no_growth():
    assert history(5).changes() == []
    assert History().changes() == []


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=200))
def test_an_hour_is_kept_and_the_sign_is_right(sizes):
    made = history(*sizes)
    kept = sizes[-60:]
    (change,) = made.changes()
    assert len(made.samples()) == len(kept)
    assert change.delta == kept[-1] - kept[0]
    assert change.only_grows == (kept == sorted(kept) and kept[-1] > kept[0])


def feed(rates, lookups=1000, seconds=10.0):
    rate, hits, misses = HitRate(), 0, 0
    rate.update(0.0, hits, misses)
    for number, share in enumerate(rates, 1):
        hits += round(share * lookups)
        misses += lookups - round(share * lookups)
        rate.update(number * seconds, hits, misses)
    return rate


def test_a_hit_rate_that_collapses_is_told_against_what_was_usual():
    collapse = feed([0.9] * 5 + [0.1]).last
    assert (round(collapse.usual, 2), round(collapse.rate, 2), collapse.lookups) == (0.9, 0.1, 1000)
    assert round(collapse.drop_pct) == 80


def test_a_collapse_is_not_learnt_from_until_half_an_hour_is_over():
    assert round(feed([0.9] * 5 + [0.1] * 170).last.drop_pct) == 80
    assert feed([0.9] * 5 + [0.1] * 180).last is None


def test_a_cache_that_never_answered_has_not_collapsed():
    assert feed([0.02] * 20).last.drop_pct == 0


def test_few_lookups_tell_nothing():
    assert feed([0.9] * 5 + [0.0], lookups=50).last is None


def test_a_cache_that_was_cleared_begins_anew():
    rate = feed([0.9] * 5)
    rate.update(61.0, 0, 0)
    assert rate.last is None
    rate.update(80.0, 900, 100)
    assert rate.last.drop_pct == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10_000), st.integers(0, 10_000)), max_size=100))
def test_any_counters_give_a_drop_between_0_and_100_points(updates):
    rate = HitRate()
    for at, hits, misses in updates:
        rate.update(at, hits, misses)
        assert rate.last is None or 0 <= rate.last.drop_pct <= 100
