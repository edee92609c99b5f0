"""Numbers belong to the metric that a sentence gives them to; whoever is not understood is not accused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beamlens.findings.facts import Mismatch, Pool, check, read
from tests.support.observations import FALSE, PASSES, TRUE, evidence, observations


@pytest.fixture(scope="module")
def pools():
    return {name: evidence(name) for name in TRUE}


@pytest.mark.parametrize(("name", "sentence"), observations(TRUE))
def test_what_is_true_is_never_refused(pools, name, sentence):
    verdict = check(sentence, pools[name])
    assert (verdict.verified, verdict.missing) == (True, ())


@pytest.mark.parametrize(("name", "sentence"), observations(FALSE))
def test_what_is_false_is_refused_unless_it_may_be_meant_otherwise(pools, name, sentence):
    assert check(sentence, pools[name]).verified is (sentence in PASSES)


@pytest.mark.parametrize(
    ("sentence", "mismatch"),
    [
        ("Memory is 512 MB.", ("512 MB", "memory_mb", "612.81 MB")),
        ("memory_mb is 512.", ("512", "memory_mb", "612.81 MB")),
        ("The thread count is 987.", ("987", "thread_count", "47 threads")),
        ("CPU usage is about 72 %.", ("72 %", "cpu_pct", "97.6 %")),
        ("The run queue delay was 640 ms.", ("640 ms", "run_queue_ms", "152.7 ms")),
        ("The memory limit is 450 MB.", ("450 MB", "memory_limit_mb", "1024 MB")),
        ("Memory is 7 GB.", ("7 GB", "memory_mb", "612.81 MB")),
    ],
)
def test_a_mismatch_names_the_metric_and_what_it_is(pools, sentence, mismatch):
    verdict = check(sentence, pools["runtime"])
    assert verdict.mismatched == (Mismatch(*mismatch),)
    assert verdict.missing == (mismatch[0],)


@pytest.mark.parametrize(
    "sentence",
    [
        "Memory grew by 512 MB.",
        "Peak memory is 512 MB.",
        "Free memory is 512 MB.",
        "Worker 3's memory is 512 MB.",
        "Memory is 512 MB above its bound.",
        "Memory is more than 512 MB.",
        "Memory is 512 to 613 MB.",
        "Memory is 51 %.",
        "Memory is 512.",
        "The memory threshold is 512 MB.",
        "Swap memory: 512 MB.",
        "512 MB of memory are used.",
        "other.memory_mb is 512",
    ],
)
def test_what_is_not_plain_is_given_to_no_metric(pools, sentence):
    (metric, *_) = [pools["runtime"].metric_of(sentence, number) for number in read(sentence)]
    assert metric is None


def test_a_metric_that_no_snapshot_has_binds_nothing():
    pool = Pool({"memory_mb": "MB", "cache_mb": "MB"})
    pool.add_snapshot({"cache_mb": 512, "memory_mb": None}, 1.0)
    assert check("Memory is 512 MB.", pool).verified


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 431 000 objects", [1431000]),
        ("1\u2009431\u2009000 objects", [1431000]),
        ("1\u00a0431\u00a0000 objects", [1431000]),
        ("1\u202f431\u202f000.5 ms", [1431000.5]),
        ("12 345 objects", [12345]),
        ("12 345 678 objects", [12345678]),
        ("1 4310 objects", [1, 4310]),
        ("1234 567 objects", [1234, 567]),
        ("0 500 objects", [0, 500]),
        ("10  500 objects", [10, 500]),
        ("3 500,000 objects", [3, 500000]),
    ],
)
def test_spaces_divide_thousands(text, values):
    assert [number.value for number in read(text)] == values


def test_spaces_may_divide_numbers_as_well():
    pool = Pool()
    pool.add({"port_443": 443, "errors": 500, "other": 12})
    assert check("12 500 errors", pool).verified
    assert check("12 501 errors", pool).missing == ("12 501",)
    assert check("12 000 errors", pool).verified is False
    assert read("12 000 errors")[0].apart == ()


_SPACES = st.sampled_from([" ", "\u2007", "\u2009", "\u00a0", "\u202f", ",", "'", "_"])


@settings(deadline=None)
@given(st.integers(0, 10**15), _SPACES)
def test_a_number_in_thousands_is_the_number(value, space):
    written = f"{value:,}".replace(",", space)
    pool = Pool()
    pool.add({"objects": value})
    assert check(f"It holds {written} objects.", pool).verified
    assert [number.value for number in read(f"It holds {written} objects.")] == [value]


_LEVEL = st.sampled_from(["is", "was", "is now", "rose to", "stands at", "=", ":", "is about", "reached"])
_VALUES = st.floats(1, 1e6).map(lambda value: round(value, 2))


@settings(deadline=None)  # the first example compiles what the others use
@given(st.lists(_VALUES, min_size=2, max_size=6, unique=True), _LEVEL, st.data())
def test_a_metrics_own_value_always_verifies_and_anothers_does_not(values, level, data):
    names = [f"part{chr(97 + at)}_mb" for at in range(len(values))]
    pool = Pool(dict.fromkeys(names, "MB"))
    pool.add_snapshot(dict(zip(names, values, strict=True)), 1.0)
    at = data.draw(st.integers(0, len(values) - 1))
    for subject in (names[at], f"The {names[at].removesuffix('_mb')}"):
        assert check(f"{subject} {level} {values[at]:.2f} MB.", pool).verified
    other = values[(at + 1) % len(values)]
    assume(abs(other - values[at]) > 0.2 * max(other, values[at]))
    verdict = check(f"{names[at]} {level} {other:.2f} MB.", pool)
    assert [(wrong.metric, wrong.text) for wrong in verdict.mismatched] == [(names[at], f"{other:.2f} MB")]


@settings(deadline=None)
@given(st.text(max_size=80), _VALUES)
def test_naming_metrics_never_refuses_what_a_text_or_a_result_said(words, value):
    """The same number in a row of a result, or in a log line, may be what is meant."""
    named = Pool({"memory_mb": "MB"})
    named.add_snapshot({"memory_mb": 3.25, "other_mb": value}, 1.0)
    named.add([{"size_mb": value}])
    assert check(f"Memory is {value:.2f} MB.", named).verified
    heard = Pool({"memory_mb": "MB"})
    heard.add_snapshot({"memory_mb": 3.25, "other_mb": value}, 1.0)
    heard.add_text(f"{words} size {value:.2f} MB")
    assume(any(number.value == value for number in read(f"{words} size {value:.2f} MB", strict=False)))
    assert check(f"Memory is {value:.2f} MB.", heard).verified
