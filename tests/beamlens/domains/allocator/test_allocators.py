"""What pymalloc and glibc hold, read from the real ones."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from beamlens.domains import AllocatorDomain
from beamlens.domains.allocator import glibc, libc, look, pages, pymalloc, why
from beamlens.domains.allocator.glibc import Arena, GlibcNumbers
from beamlens.domains.allocator.look import Look
from beamlens.domains.allocator.pymalloc import PymallocNumbers
from beamlens.domains.allocator.sparing import Sparing
from beamlens.evidence import Strength
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's numbers")


@pytest.fixture
def domain():
    domain = AllocatorDomain()
    yield domain
    domain.close()


def in_a_process(program, **environment):
    """Run a program in a process of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout.strip(), done.stderr.strip()


def test_it_keeps_the_contract_of_a_domain(domain):
    check_domain(domain)


@linux
def test_a_snapshot_tells_of_both_allocators(domain):
    snapshot = domain.snapshot()
    assert snapshot["allocator_count"] == 2
    assert snapshot["malloc"] == "glibc"
    assert 0 < snapshot["worst_usage_ratio"] <= 1
    assert 0 < snapshot["held_mb"] < snapshot["rss_mb"] * 2
    assert "_unavailable" not in snapshot


def test_an_allocator_is_found_by_the_name_that_the_list_shows(domain):
    """The seed's by_type wanted an atom and got a text from Lua: it never found anything."""
    for row in domain.summary()["allocators"]:
        assert domain.by_type(row["name"])["name"] == row["name"]
    answer = domain.callbacks()["allocator_by_type"]("sbrk")
    assert answer == {"error": "unknown_allocator", "message": "name='sbrk'; the choices are: pymalloc, glibc"}


@linux
def test_a_fragmented_heap_has_a_low_ratio_and_is_problematic():
    """The seed's ratio was 1.0 for want of the right field. Here most blocks of a heap are freed, and it shows."""
    printed, _ = in_a_process("""
        from beamlens.domains import AllocatorDomain
        blocks = [bytes(400) for _ in range(200_000)]
        native = [bytes(2000) for _ in range(30_000)]
        kept = blocks[::50], native[::50]
        del blocks, native
        domain = AllocatorDomain()
        rows = domain.problematic()
        print([row["name"] for row in rows if row["usage_ratio"] < 0.5] == [row["name"] for row in rows])
        print(sorted(row["name"] for row in rows), domain.snapshot()["fragmented_allocators"])
        print(domain.fragmentation()["fragmentation_score"] > 0.5)
        ratios = [row["usage_ratio"] for row in rows]
        print(ratios == sorted(ratios), any("malloc_trim" in text for text in domain.summary()["advice"]))
    """)
    assert printed.splitlines() == ["True", "['glibc', 'pymalloc'] 2", "True", "True True"]


@linux
def test_the_numbers_of_pymalloc_follow_what_is_allocated():
    before = pymalloc.numbers()
    held = [object() for _ in range(100_000)]
    after = pymalloc.numbers()
    assert isinstance(before, PymallocNumbers)
    assert isinstance(after, PymallocNumbers)
    assert after.used - before.used == pytest.approx(1_600_000, rel=0.1)
    assert after.held >= after.used
    assert len(held) == 100_000


@linux
def test_the_numbers_of_glibc_follow_what_is_allocated():
    before = glibc.numbers()
    held = [bytes(10_000) for _ in range(2_000)]
    after = glibc.numbers()
    assert isinstance(before, GlibcNumbers)
    assert isinstance(after, GlibcNumbers)
    assert after.used + after.mapped - before.used - before.mapped == pytest.approx(20_000_000, rel=0.1)
    assert len(held) == 2_000


@linux
def test_the_arenas_together_hold_what_mallinfo_says():
    found, together = glibc.arenas(), glibc.numbers()
    assert isinstance(found, list)
    assert isinstance(together, GlibcNumbers)
    assert sum(arena.held for arena in found) == pytest.approx(together.held, rel=0.05)
    assert all(0 <= (arena.usage or 0.0) <= 1 for arena in found)


@linux
def test_reading_prints_nothing_and_leaves_no_descriptor():
    printed, complained = in_a_process("""
        import os
        from beamlens.domains.allocator import glibc, pymalloc
        glibc.arenas(), pymalloc.numbers()
        before = os.listdir("/proc/self/fd")
        for _ in range(50):
            glibc.arenas(), pymalloc.numbers()
        print(len(os.listdir("/proc/self/fd")) - len(before))
    """)
    assert (printed, complained) == ("0", "")


@linux
def test_without_a_descriptor_left_it_says_so():
    printed, _ = in_a_process("""
        import os, resource
        from beamlens.domains.allocator import glibc, pymalloc
        glibc.arenas(), pymalloc.numbers()
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 4096))
        print(pymalloc.numbers())
        print(glibc.arenas())
    """)
    python, arenas = printed.splitlines()
    assert "no descriptor is left" in python
    assert "no descriptor is left" in arenas


@linux
def test_another_allocator_under_python_is_recognised():
    printed, _ = in_a_process(
        """
        from beamlens.domains import AllocatorDomain
        snapshot = AllocatorDomain().snapshot()
        print(snapshot["allocator_count"], snapshot["malloc"])
        print(AllocatorDomain().by_type("pymalloc"))
        """,
        PYTHONMALLOC="malloc",
    )
    first, second = printed.splitlines()
    assert first == "1 glibc"
    assert "pymalloc is not in use" in second


@pytest.mark.parametrize(
    ("file", "version", "name"),
    [
        ("libjemalloc.so.2", "2.36", "jemalloc"),
        ("libtcmalloc_minimal.so.4", "2.36", "tcmalloc"),
        ("libc.so.6", "2.36", "glibc"),
        ("libc-2.31.so", "2.31", "glibc"),
        ("ld-musl-x86_64.so.1", None, "musl"),
        ("python3.11", "2.36", None),
        (None, "2.36", None),
        ("libSystem.B.dylib", None, None),
    ],
)
def test_whose_malloc_it_is_is_told_by_its_file(monkeypatch, file, version, name):
    monkeypatch.setattr(libc, "malloc_library", lambda: file)
    monkeypatch.setattr(libc, "glibc_version", lambda: version)
    assert libc.malloc_name() == name
    assert (libc.why_no_glibc() is None) == (name == "glibc")


def test_on_another_c_library_glibc_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(libc, "glibc_version", lambda: None)
    assert glibc.numbers() == "this C library is not glibc: it does not tell"
    assert glibc.arenas() == "this C library is not glibc: it does not tell"
    domain = AllocatorDomain()
    check_domain(domain)
    assert domain.by_type("glibc") == {
        "error": "unsupported",
        "message": "this C library is not glibc: it does not tell",
    }


@linux
def test_an_old_glibc_without_mallinfo2_is_said(monkeypatch):
    monkeypatch.setattr(libc, "function", lambda name, *_types: None)
    monkeypatch.setattr(libc, "glibc_version", lambda: "2.28")
    monkeypatch.setattr(libc, "malloc_library", lambda: "libc-2.28.so")
    assert glibc.numbers() == "glibc tells it from 2.33 on, this is 2.28"
    assert isinstance(glibc.arenas(), str)


def test_where_nothing_can_be_asked_every_number_is_none_with_a_reason(monkeypatch):
    monkeypatch.setattr(libc, "library", lambda: None)
    monkeypatch.setattr(libc, "glibc_version", lambda: None)
    monkeypatch.setattr(libc, "malloc_library", lambda: None)
    monkeypatch.setattr(pymalloc, "_print_stats", lambda: None)
    monkeypatch.setattr(pages, "rollup", lambda: None)
    domain = AllocatorDomain()
    check_domain(domain)
    snapshot = domain.snapshot()
    for name in ("worst_usage_ratio", "held_mb", "free_mb", "total_carriers", "wasted_pct"):
        assert snapshot[name] is None
        assert snapshot["_unavailable"][name]
    assert domain.fragmentation()["error"] == domain.memory_map()["error"] == "unsupported"
    assert domain.problematic() == []


def test_the_statistics_of_another_python_are_refused_rather_than_guessed():
    assert pymalloc.parse("arenas: 3, used: 100") is None


def test_the_types_of_functions_that_everybody_uses_are_not_touched():
    before = ctypes.pythonapi._PyObject_DebugMallocStats.argtypes
    pymalloc.numbers()
    assert ctypes.pythonapi._PyObject_DebugMallocStats.argtypes == before


@linux
def test_the_kernel_tells_of_pages(domain):
    found = domain.memory_map()
    assert found["rss_mb"] > 5
    assert found["transparent_huge_pages"] in ("always", "madvise", "never", None)


def test_without_the_kernels_files_nothing_is_told(tmp_path):
    assert pages.rollup(tmp_path) is None
    assert pages.transparent_huge_pages(tmp_path) is None


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({"MALLOC_ARENA_MAX": "2"}, 2),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=1:glibc.malloc.arena_max=4"}, 4),
        ({"MALLOC_ARENA_MAX": "many"}, None),
        ({}, None),
    ],
)
def test_a_limit_of_arenas_is_read_from_the_environment(monkeypatch, variables, limit):
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert glibc.arena_limit() == limit


# -- judging ---------------------------------------------------------------------------------------------------------


def held(python_used=100, c_used=100, limit=2e9):
    """A look at a process with 1000 MB in each allocator, some of it used."""
    python = PymallocNumbers(1000, 1000, 10**9, python_used * 10**6, (pymalloc.SizeClass(512, 10, 1, 300_000),))
    c = GlibcNumbers(10**9, c_used * 10**6, 10**9 - c_used * 10**6, 0, 0, 5, 100)
    return Look(python, c, 2 * 10**9, limit)


@pytest.mark.parametrize(
    ("usage", "grade"), [(None, "unknown"), (0.5, "healthy"), (0.49, "moderate"), (0.3, "moderate"), (0.29, "severe")]
)
def test_a_ratio_below_a_half_is_moderate_and_below_three_tenths_severe(usage, grade):
    assert why.grade(usage) == grade


def test_the_allocator_that_holds_what_is_free_is_named():
    (found,) = why.explain(held(python_used=950, c_used=100), [Arena(0, 1, 1, 1)] * 9)
    assert found.strength == Strength.CONCLUSIVE
    assert found.text.startswith("glibc holds 1000 MB and uses 10 % of it: 900 MB are free")
    assert "spread over 9 arenas" in found.text


def test_a_heap_in_use_is_not_called_fragmented():
    (found,) = why.explain(held(950, 950), [])
    assert found.strength == Strength.EXCLUDES


def test_free_memory_that_is_little_against_the_limit_wakes_nobody(monkeypatch):
    """After a batch a process holds what it does not use; on a large machine that is nobody's trouble."""
    for limit, active in ((64e9, False), (2e9, True)):
        domain = AllocatorDomain()
        monkeypatch.setattr(domain, "_look", lambda limit=limit: held(limit=limit))
        (sensor,) = domain.all_sensors()
        detector = sensor.detector()
        reading = [detector.update(float(second), domain.sense()["wasted_pct"]) for second in range(0, 120, 5)][-1]
        assert reading.active is active


def test_a_peak_that_is_used_again_within_a_minute_wakes_nobody(monkeypatch):
    domain = AllocatorDomain()
    used = [100]
    monkeypatch.setattr(domain, "_look", lambda: held(used[0], used[0]))
    (sensor,) = domain.all_sensors()
    detector = sensor.detector()
    for second in range(600):
        used[0] = 100 if second % 60 < 50 else 950
        assert not detector.update(float(second), domain.sense()["wasted_pct"]).active


# -- how often -------------------------------------------------------------------------------------------------------


def test_a_reading_is_kept_for_a_thousand_times_as_long_as_it_took(monkeypatch):
    durations, now = iter([0.002, 0.02, 0.001]), [0.0]

    def read():
        now[0] += next(durations)
        return now[0]

    monkeypatch.setattr("beamlens.domains.allocator.sparing.time.perf_counter", lambda: now[0])
    with FakeClock() as clock:
        sparing = Sparing(read)
        assert sparing() == pytest.approx(0.002)
        clock.advance(1.9)
        assert sparing() == pytest.approx(0.002)
        clock.advance(0.2)
        assert sparing() == pytest.approx(0.022)
        clock.advance(599.0)  # it stalled others for more than 5 ms: a rest of ten minutes
        assert sparing() == pytest.approx(0.022)
        clock.advance(2.0)
        assert sparing() == pytest.approx(0.023)


def test_many_threads_may_ask_at_once():
    watch = look.Watch()
    found = []
    threads = [threading.Thread(target=lambda: found.append(watch().held)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
