from __future__ import annotations

import os
import resource

import pytest

from beamlens.probes import limits


class Machine:
    """A folder that looks like the root of a machine with 16 GB and no control groups."""

    def __init__(self, root):
        self.root = root
        self.write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:         1000 kB\n")
        self.write("proc/sys/kernel/threads-max", "60000\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self):
        return limits.read(self.root)


@pytest.fixture
def resources(monkeypatch):
    """Resource limits by name; what is not set is unlimited."""
    values = {}
    names = {getattr(resource, name): name for name in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_NOFILE")}
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (values.get(names[kind], resource.RLIM_INFINITY), resource.RLIM_INFINITY)
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)
    return values


@pytest.fixture
def machine(tmp_path, resources):
    return Machine(tmp_path)


def test_a_bare_machine_bounds_memory_threads_and_cores(machine):
    found = machine.read()
    assert found.memory == limits.Limit(16_384_000_000.0, "physical memory")
    assert found.threads == limits.Limit(60_000.0, "kernel.threads-max")
    assert found.cores == limits.Limit(4.0, "CPU affinity")
    assert found.descriptors is None


def test_resource_limits_are_taken_where_they_are_lower(machine, resources):
    resources |= {"RLIMIT_AS": 4_000_000_000, "RLIMIT_NPROC": 500, "RLIMIT_NOFILE": 1024}
    found = machine.read()
    assert (found.memory.value, found.memory.source) == (4e9, "RLIMIT_AS")
    assert (found.threads.value, found.threads.source) == (500.0, "RLIMIT_NPROC")
    assert (found.descriptors.value, found.descriptors.source) == (1024.0, "RLIMIT_NOFILE")


def test_the_number_of_processes_does_not_bound_root(machine, resources, monkeypatch):
    resources["RLIMIT_NPROC"] = 500
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.read().threads.source == "kernel.threads-max"


def test_control_groups_of_version_two_bound_and_so_do_their_parents(machine):
    machine.write("proc/self/cgroup", "0::/system.slice/shop.service\n")
    machine.write("sys/fs/cgroup/system.slice/shop.service/memory.max", "max\n")
    machine.write("sys/fs/cgroup/system.slice/memory.max", "2000000000\n")
    machine.write("sys/fs/cgroup/system.slice/shop.service/pids.max", "100\n")
    machine.write("sys/fs/cgroup/system.slice/shop.service/cpu.max", "150000 100000\n")
    found = machine.read()
    assert (found.memory.value, found.memory.source) == (2e9, "cgroup memory.max")
    assert (found.threads.value, found.threads.source) == (100.0, "cgroup pids.max")
    assert (found.cores.value, found.cores.source) == (1.5, "cgroup cpu.max")


def test_inside_a_container_the_group_is_at_the_root(machine):
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/memory.max", "1000000000\n")
    machine.write("sys/fs/cgroup/cpu.max", "max 100000\n")
    found = machine.read()
    assert found.memory.value == 1e9
    assert found.cores.source == "CPU affinity"


@pytest.mark.parametrize("path", ["/docker/abc", "/"])
def test_control_groups_of_version_one_bound_also_when_their_path_is_the_hosts(machine, path):
    machine.write("proc/self/cgroup", f"9:name=systemd:{path}\n5:memory:{path}\n4:cpu,cpuacct:{path}\n3:pids:{path}\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000000000\n")
    machine.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n")
    machine.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    machine.write("sys/fs/cgroup/pids/pids.max", "max\n")
    found = machine.read()
    assert (found.memory.value, found.memory.source) == (3e9, "cgroup memory.limit_in_bytes")
    assert (found.cores.value, found.cores.source) == (0.5, "cgroup cpu.cfs_quota_us")
    assert found.threads.source == "kernel.threads-max"


def test_the_unlimited_number_of_version_one_is_no_limit(machine):
    machine.write("proc/self/cgroup", "5:memory:/\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert machine.read().memory.source == "physical memory"
    assert machine.read().cores.source == "CPU affinity"


def test_the_own_group_of_version_one_counts_below_an_unlimited_parent(machine):
    machine.write("proc/self/cgroup", "5:memory:/app\n3:cpu,cpuacct:/app\n")
    machine.write("sys/fs/cgroup/memory/app/memory.limit_in_bytes", "2000000\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write("sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "25000\n")
    machine.write("sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n")
    found = machine.read()
    assert found.memory == limits.Limit(2_000_000.0, "cgroup memory.limit_in_bytes")
    assert found.cores == limits.Limit(0.25, "cgroup cpu.cfs_quota_us")


def test_a_mixed_machine_has_its_second_version_in_a_folder_of_its_own(machine):
    machine.write("proc/self/cgroup", "3:pids:/\n0::/shop\n")
    machine.write("sys/fs/cgroup/unified/shop/memory.max", "500000000\n")
    assert machine.read().memory.value == 5e8


def test_a_group_tells_what_all_its_processes_use_without_the_page_cache(machine):
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/memory.max", "1000\n")
    machine.write("sys/fs/cgroup/memory.current", "900\n")
    machine.write("sys/fs/cgroup/memory.stat", "anon 600\nactive_file 100\ninactive_file 150\nfile 300\n")
    machine.write("sys/fs/cgroup/pids.max", "50\n")
    machine.write("sys/fs/cgroup/pids.current", "20\n")
    found = machine.read()
    assert found.memory.used_by_group() == 650.0
    assert found.threads.used_by_group() == 20.0
    assert found.cores.used_by_group() is None


def test_a_group_of_version_one_tells_it_too(machine):
    machine.write("proc/self/cgroup", "5:memory:/\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n")
    machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n")
    machine.write("sys/fs/cgroup/memory/memory.stat", "active_file 1\ntotal_active_file 100\ntotal_inactive_file 150\n")
    assert machine.read().memory.used_by_group() == 650.0


@pytest.mark.parametrize("text", ["", "nonsense", "max\n", "-1\n", "0::", "::::", "7:memory", "\x00"])
def test_whatever_the_kernel_says_is_survived(machine, text):
    machine.write("proc/self/cgroup", text)
    machine.write("sys/fs/cgroup/memory.max", text)
    machine.write("sys/fs/cgroup/cpu.max", text)
    assert machine.read().memory.source == "physical memory"


def test_the_descriptor_limit_is_the_soft_one():
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limits.read().descriptors == limits.Limit(float(soft), "RLIMIT_NOFILE")


def test_the_limits_of_this_machine_can_be_read():
    found = limits.read()
    assert found.memory.value > 0
    assert found.cores.value > 0
