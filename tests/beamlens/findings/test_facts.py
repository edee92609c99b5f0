from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from beamlens.findings.facts import Pool, check, read

BYTES = {
    "B": 1,
    "bytes": 1,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "seconds": 1, "min": 60, "minutes": 60, "hours": 3600}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

ACCEPTED = """\
Resident memory rose from 450 MB to 613 MB in 12.5 s, 36 % more.
Resident memory grew by 162 MB within about 12 seconds (13 MB/s).
Memory is 0.61 GB, above its threshold of 600 MB.
Memory is 612,810,000 bytes.
Memory is 584.4 MiB.
Memory is 598,447 KiB.
Memory is 613M.
The queue holds 600 orders, 150 more than before; that is a third more, or 33%.
depth=600 (was 450)
There are 47 threads, two more than before.
987 of 1,024 descriptors are open (96.4 %).
37 errors among 1620 records, i.e. 2.3 %.
23 of 37 errors come from shop/pay.py:42.
Three requests take 3 to 5 s; the slowest 4.8 seconds.
Requests take between 3 and 5 s.
The run queue delay is 153 ms, up from 8 ms, more than 18 times as much.
The run queue delay is 0.153 s.
The run queue delay is 152,700 µs.
CPU usage is nearly 100 %.
CPU usage is 98%, 85 points more.
The share is 37%.
37.4 percent of it.
TimeoutError after 2.5 s from 10.0.0.7:5432 on port 5432, 23 times.
Since 10:42:03 on 2026-11-21 the thread worker-12 (pid 4242) waits at line 42; 47 threads in total.
about 1600 records in the last minute
over 600 orders
up to 47 threads
More than 35 errors.
Errors: 37 in 30 s.
Growth is 13.2 MB/s.
Growth is 792 MB per minute.
13 MB every second
Memory changed by +36 %.
It went up from 450 to 600 (+33.3 %) in 12.5s.
TimeoutError (23)
1.62k records
depth 450-600 orders
Two of the three slowest requests are in stage pay.
In a 30-second window there were 37 errors."""

REFUSED = {
    "Resident memory rose to 650 MB.": "650 MB",
    "Memory is 612.81 KB.": "612.81 KB",
    "Memory is 613 GB.": "613 GB",
    "Memory is 612.83 MB.": "612.83 MB",
    "There are 48 threads.": "48",
    "There are 512 orders waiting.": "512",
    "CPU usage is 89 %.": "89 %",
    "Memory grew by 250 MB.": "250 MB",
    "Memory grew by 80 %.": "80 %",
    "Memory fell by -36 %.": "-36 %",
    "The slowest takes 5.8 s.": "5.8 s",
    "The run queue delay is 153 s.": "153 s",
    "97 errors.": "97",
    "24 of 37 errors come from shop/pay.py:42.": "24",
    "Growth is 45 MB/s.": "45 MB/s",
    "over 1100 orders": "1100",
    "987 of 4,096 descriptors are open.": "4,096",
    "Latency is 300 ms.": "300 ms",
    "eleven threads wait.": "eleven",
    "between 700 and 900 orders": "700",
    "It doubled within 7 seconds.": "7 seconds",
    "36.9 %": "36.9 %",
    "The process uses 2.5 GB.": "2.5 GB",
    "5,000 requests per second": "5,000 requests per second",
    "The queue holds about 750 orders.": "750",
}

NOTHING_TO_CHECK = """\
Python 3.11 on localhost:8080 answers HTTP 503, errno 24.
v1.2.3, commit a1b2c3d4, snapshot 1f2e3d4c5b6a7988
p99 latency, 5xx, the 2nd of Nov 21, 10:42 UTC, 5 pm
[Errno 24] at /srv/app2/main.py:17, lines 10 to 20, ports 80, 443 and 8080
0x7f00dead, 550e8400-e29b-41d4-a716-446655440000, ticket #123, utf-8, worker-3
Nothing is wrong with one of the threads."""


def evidence():
    pool = Pool({"memory_mb": "MB", "depth": "orders", "cpu_pct": "%", "run_queue_ms": "ms"})
    before = {"memory_mb": 450.37, "depth": 450, "cpu_pct": 12.4, "run_queue_ms": 8.25, "thread_count": 45}
    after = {"memory_mb": 612.81, "depth": 600, "cpu_pct": 97.6, "run_queue_ms": 152.7, "thread_count": 47}
    held = {"descriptor_count": 987, "descriptor_limit": 1024, "error_count_1m": 37, "total_count_1m": 1620}
    pool.add_snapshot(before, 1000.0)
    pool.add_snapshot({**after, **held}, 1012.5)
    slowest = [(17, 4.83, "pay"), (18, 3.12, "pay"), (21, 3.9, "pack")]
    rows = [{"id": one, "seconds": seconds, "stage": stage} for one, seconds, stage in slowest]
    pool.add({"result": {"rss_bytes": 612_810_000, "slowest": rows, "share": 0.374, "mb_per_s": 13.2}})
    pool.add_text("memory_mb is 612.8 MB, at or above 600 MB for 12 s")
    pool.add_text(
        "23 of 37 error records in the last 30 s come from shop/pay.py:42: TimeoutError (23); no answer after 2.5 s"
    )
    return pool


@pytest.mark.parametrize("sentence", ACCEPTED.splitlines())
def test_what_follows_from_the_evidence_is_accepted(sentence):
    verdict = check(sentence, evidence())
    assert (verdict.verified, verdict.missing) == (True, ())


@pytest.mark.parametrize(("sentence", "missing"), REFUSED.items())
def test_what_the_evidence_has_not_is_named_as_it_is_written(sentence, missing):
    verdict = check(sentence, evidence())
    assert verdict.verified is False
    assert verdict.missing[0] == missing


@pytest.mark.parametrize("sentence", NOTHING_TO_CHECK.splitlines())
def test_what_measures_nothing_is_not_checked(sentence):
    assert check(sentence, Pool()).verified is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234,567 bytes", [1234567.0]),
        ("1_000 orders and 2'000", [1000.0, 2000.0]),
        ('{"a":12,"b":3.5}', [12.0, 3.5]),
        ("3.5-4.5 s", [3.5, 4.5]),
        ("from 1e3 to 2.5e-2", [1000.0, 0.025]),
        ("450/500 orders (90%)", [450.0, 500.0, 90.0]),
        ("twelve of 12", [12.0, 12.0]),
        ("\u22125 degrees", [5.0]),
    ],
)
def test_numbers_are_read(text, values):
    assert [abs(number.value) for number in read(text)] == values


def shown(value, factor, digits, separated):
    return f"{value / factor:{',' if separated else ''}.{digits}f}"


_digits = st.integers(0, 3)


@given(st.integers(0, 10**13), st.sampled_from(sorted(BYTES)), _digits, st.booleans())
def test_bytes_verify_in_any_unit_and_rounding(value, unit, digits, separated):
    pool = Pool()
    pool.add({"rss_bytes": value})
    assert check(f"It holds {shown(value, BYTES[unit], digits, separated)} {unit} now.", pool).verified


@given(st.floats(0, 1e6), st.sampled_from(sorted(TIMES)), _digits, st.booleans())
def test_durations_verify_in_any_unit_and_rounding(value, unit, digits, separated):
    pool = Pool()
    pool.add({"took_s": value})
    assert check(f"It took {shown(value, TIMES[unit], digits, separated)} {unit}.", pool).verified


@given(st.floats(0, 1), _digits, st.sampled_from(["%", " %", " percent"]))
def test_a_share_verifies_in_percent(value, digits, unit):
    pool = Pool()
    pool.add({"share": value})
    assert check(f"It is {100 * value:.{digits}f}{unit} of all.", pool).verified


@given(st.integers(0, 10**9), st.sampled_from([("", 1), ("k", 1e3), ("M", 1e6), (" million", 1e6)]), _digits)
def test_counts_verify_with_a_suffix(value, suffix, digits):
    pool = Pool()
    pool.add({"orders": value})
    assert check(f"There are {value / suffix[1]:.{digits}f}{suffix[0]} of them.", pool).verified


@given(st.sampled_from([value for value in range(13) if value != 1]))
def test_words_verify_and_other_words_do_not(value):
    pool = Pool()
    pool.add({"threads": value})
    assert check(f"There are {WORDS[value]} threads.", pool).verified
    assert check(f"There are {WORDS[value + 1 if value not in (0, 12) else 5]} threads.", pool).verified is False


@given(
    st.floats(1e-3, 1e12),
    st.sampled_from([("x_bytes", "KiB", 1024), ("x_bytes", "MiB", 1024**2), ("x_s", "ms", 1e-3), ("x_s", "min", 60)]),
    _digits,
    st.integers(2, 10**6),
    st.sampled_from([-1, 1]),
)
def test_a_number_moved_by_more_than_its_precision_does_not_verify(value, written, digits, steps, way):
    key, unit, factor = written
    pool = Pool()
    pool.add({key: value})
    moved = value / factor + way * steps * 10**-digits
    assume(0 < moved < 10.0 ** (11 - digits))  # more digits than that a float does not keep
    assert check(f"It is {moved:.{digits}f} {unit}.", pool).verified is False


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_change_in_percent_verifies_between_two_snapshots(before, after):
    pool = Pool()
    pool.add_snapshot({"depth": before}, 100.0)
    pool.add_snapshot({"depth": after}, 110.0)
    change = 100 * (after - before) / before
    assert check(f"It changed by {change:+.1f} %.", pool).verified
    assert check(f"It changed by {abs(after - before):.2f} in 10 s.", pool).verified


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
)
_sentences = st.text() | st.lists(st.sampled_from([*string.printable, "12", "MB", "3.5", "to", "%"])).map("".join)


@given(_sentences, _json)
def test_no_text_and_no_evidence_breaks_it(text, value):
    pool = Pool({"a": "MB/s", "b": "", "c": "orders"})
    pool.add(value)
    pool.add_snapshot({"value": value}, 1.0)
    pool.add_text(text)
    check(text, pool)


@pytest.mark.parametrize("evidence", ["1k", "1000", "1 thousand"])
def test_thousands_are_the_same_spelled_out_or_not(evidence):
    pool = Pool()
    pool.add_text(evidence)
    assert [check(text, pool).verified for text in ("1k", "1000", "1 thousand", "2k")] == [True, True, True, False]


@given(_sentences)
def test_a_text_that_is_its_own_evidence_verifies(text):
    pool = Pool()
    pool.add_text(text)
    assert check(text, pool).verified is not False


def test_too_many_numbers_are_not_verified():
    pool = Pool()
    pool.add({"x": 5})
    assert check("5 " * 100, pool).verified is True
    many = " ".join(str(number) for number in range(1000, 1200))
    pool.add(list(range(1000, 1200)))
    verdict = check(many, pool)
    assert (verdict.verified, len(verdict.missing)) == (False, 100)


@pytest.mark.parametrize("piece", ["1", "1,", "1.", "a-", "a/", "/", "a.", "0x", "deadbeef", "~", "1e", "1 to ", "a:"])
def test_a_long_text_is_read_in_bounded_time(piece):
    """Each took seconds to a minute while a word was tried from each of its letters."""
    text = piece * 50_000
    for strict in (True, False):
        assert len(read(text, strict=strict)) <= 2000
