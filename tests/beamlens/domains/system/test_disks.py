from __future__ import annotations

import threading

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import SystemDomain
from beamlens.domains.system import mounts
from beamlens.domains.system.mounts import Mount
from beamlens.domains.system.space import Spaces
from beamlens_actors.testing import FakeClock
from tests.support.machines import Machine, space
from tests.support.threads import until


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


def mount(path, *, remote=False):
    return Mount(path, "ext4", "/dev/x", remote, path)


def test_only_real_writable_file_systems_are_watched_each_once(machine):
    found = mounts.read(machine.root)
    assert [(one.path, one.kind, one.remote) for one in found] == [
        ("/", "ext4", False),
        ("/data", "xfs", False),
        ("/mnt/nas", "nfs4", True),
    ]


def test_blanks_in_paths_are_read_and_a_mount_hides_what_is_below_it(machine):
    lines = [
        "1 0 8:1 / /a\\040b rw - ext4 /dev/a rw",
        "2 0 8:2 / /x rw - ext4 /dev/b rw",
        "3 0 8:3 / /x rw - xfs /dev/c rw",
    ]
    machine.write("proc/self/mountinfo", "\n".join(lines))
    assert [(one.path, one.source) for one in mounts.read(machine.root)] == [("/a b", "/dev/a"), ("/x", "/dev/c")]


@pytest.mark.parametrize("text", ["", "nonsense", "1 2 3 - ext4", "1 0 8:1 / /a rw ext4 /dev/a"])
def test_lines_that_are_none_are_left_out(machine, text):
    machine.write("proc/self/mountinfo", text + "\n")
    assert mounts.read(machine.root) == []


class Hanging:
    """A statvfs of which some paths do not answer until they are let go."""

    def __init__(self, *paths):
        self.paths = paths
        self.hangs = threading.Semaphore(0)
        self.go = threading.Event()
        self.asked = []

    def __call__(self, path):
        self.asked.append(path)
        if path in self.paths and not self.go.is_set():
            self.hangs.release()
            self.go.wait(60)
        return space(100, 20)


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "beamlens-statvfs"]


def join():
    for thread in helpers():
        thread.join(10)


def test_a_mount_that_hangs_costs_one_thread_and_the_others_are_told(clock):
    asked = Hanging("/mnt/nas")
    disks = [mount("/"), mount("/mnt/nas", remote=True), mount("/data")]
    spaces = Spaces(asked)
    try:
        spaces.ask(disks)
        assert asked.hangs.acquire(timeout=10)
        clock.advance(1.5)
        spaces.ask(disks)  # leaves the thread, starts another for the rest
        for thread in helpers()[1:]:
            thread.join(10)
        told = spaces.ask(disks)
        for thread in helpers()[1:]:
            thread.join(10)
        assert told["/mnt/nas"] == "does not answer for 2 s"
        assert told["/"].used_pct == told["/data"].used_pct == 20.0
        assert spaces.hung() == ["/mnt/nas"]
        for _ in range(5):
            clock.advance(10)
            spaces.ask(disks)
            for thread in helpers():
                if thread is not helpers()[0]:
                    thread.join(10)
        assert asked.asked.count("/mnt/nas") == 1
    finally:
        asked.go.set()
        join()
    assert spaces.ask(disks, wait=1.0)["/mnt/nas"].used_pct == 20.0
    assert spaces.hung() == []
    join()


def test_no_more_than_eight_mounts_may_hang(clock):
    paths = [f"/mnt/{number}" for number in range(20)]
    asked = Hanging(*paths)
    spaces = Spaces(asked)
    try:
        for _ in range(12):
            spaces.ask([mount(path) for path in paths])
            asked.hangs.acquire(timeout=0.2)
            clock.advance(1.5)
        assert len(spaces.hung()) == len(helpers()) == 8
    finally:
        asked.go.set()
        join()


def test_sensing_never_waits_for_a_disk_and_says_that_one_hangs(clock, machine):
    asked = Hanging("/mnt/nas")
    domain = SystemDomain(machine.root, Spaces(asked))
    bank = SensorBank(domain.all_sensors())
    woke = []
    try:
        for second in range(30):
            woke += bank.feed(float(second), domain.sense())
            if second == 0:
                assert asked.hangs.acquire(timeout=10)
            until(lambda: len(helpers()) <= 1)  # those of the other mounts have answered before time goes on
            clock.advance(1.0)
        assert [sensor.name for sensor in woke] == ["disk_hangs"]
        (piece,) = domain.evidence(woke[0])
        assert piece.text.startswith("/mnt/nas (nfs4, nas:/export) does not answer for ")
        rows = domain.callbacks()["system_get_disks"]()
        assert rows[0]["mount"] == "/mnt/nas"
        assert rows[0]["unavailable"].startswith("does not answer")
    finally:
        asked.go.set()
        join()


def test_a_mount_that_refuses_says_why(clock):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    spaces = Spaces(refuse)
    assert spaces.ask([mount("/x")], wait=1.0) == {"/x": "PermissionError: Permission denied"}
    join()


def test_what_is_reserved_for_root_is_not_available(clock):
    spaces = Spaces(lambda _path: space(100, 50, reserved=5, files=0))
    told = spaces.ask([mount("/x")], wait=1.0)["/x"]
    join()
    assert (told.total, told.available, told.used_pct) == (95_000_000, 45_000_000, 52.63)
    assert told.inodes_used_pct is None


def follow(machine, sizes, step=2.0):
    """What `disk_growth` says, and which sensors woke, when a disk of 10 GB has these sizes in MB."""
    woke, now = [], [0]
    with FakeClock() as clock:
        domain = SystemDomain(machine.root, Spaces(lambda path: space(10_000, now[0] if path == "/data" else 100)))
        bank = SensorBank(domain.all_sensors())
        for size in sizes:
            now[0] = int(size)
            domain.sense()
            join()
            woke += [sensor.name for sensor in bank.feed(clock.monotonic(), domain.sense())]
            join()
            clock.advance(step)
        rows = domain.callbacks()["system_disk_growth"]()
        join()
    return rows, woke


def test_a_disk_that_fills_is_told_with_the_time_left(machine):
    rows, woke = follow(machine, [2_000 + 50 * n for n in range(40)])
    assert woke == ["disk_fills"]
    (row,) = rows
    assert (row["mount"], row["growth_mb_per_s"]) == ("/data", pytest.approx(25, rel=0.1))
    assert row["minutes_to_full"] == pytest.approx((10_000 - 3_950) / 25 / 60, rel=0.1)


@pytest.mark.parametrize(
    "sizes",
    [
        [2_000] * 60,
        [2_000 + 3 * n for n in range(60)],  # log files: full in an hour, seen for two minutes, too little to tell
        [2_000 + (n % 10) * 80 for n in range(60)],  # temporary files that come and go
        [2_000 if n < 30 else 5_000 for n in range(60)],  # one large file
        [5_000 - 40 * n for n in range(60)],
    ],
    ids=["still", "slow", "saw-tooth", "step", "shrinking"],
)
def test_a_disk_that_is_used_as_disks_are_wakes_nothing(machine, sizes):
    assert follow(machine, sizes)[1] == []


def test_slow_growth_is_told_after_it_was_seen_for_long_enough(machine):
    rows, woke = follow(machine, [7_000 + 0.2 * n * 5 for n in range(360)], step=5.0)
    assert woke == ["disk_fills"]
    assert rows[0]["seen_for_s"] >= 400


def test_a_full_disk_wakes_once_and_more_when_it_is_nearly_over(machine):
    _rows, woke = follow(machine, [9_300] * 20)
    assert woke == ["disk_used"]


def test_a_disk_that_was_made_larger_begins_anew(clock, machine):
    total = [10_000]
    domain = SystemDomain(machine.root, Spaces(lambda _path: space(total[0], 5_000)))
    for size in (10_000, 20_000, 20_000):
        total[0] = size
        domain.sense()
        join()
        clock.advance(2.0)
    domain.sense()
    join()
    assert domain.snapshot()["disk_max_used_pct"] == 25.0
    join()


def test_a_mount_that_answers_at_the_very_moment_of_giving_up_is_not_taken_for_hung(clock):
    spaces = Spaces(lambda _path: clock.advance(1.5) or space(100, 20))
    disks = [mount("/a"), mount("/b"), mount("/c")]
    for _ in range(20):
        spaces.ask(disks)
        spaces.hung()
    join()
    spaces.ask(disks)
    join()
    assert spaces.hung() == []
