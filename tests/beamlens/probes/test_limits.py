from __future__ import annotations

import pytest

from beamlens.probes import limits


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_limit_of_a_control_group_v2_is_found_with_its_source(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app/web\n",
            "sys/fs/cgroup/app/web/memory.max": "536870912\n",
            "sys/fs/cgroup/app/web/pids.max": "100\n",
            "sys/fs/cgroup/app/web/cpu.max": "50000 100000\n",
        },
    )
    found = limits.read(root)
    assert found.memory == limits.Limit(536870912.0, "cgroup memory.max")
    assert found.threads == limits.Limit(100.0, "cgroup pids.max")
    assert found.cores == limits.Limit(0.5, "cgroup cpu.max")


def test_a_lower_limit_of_a_parent_group_counts(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app/web\n",
            "sys/fs/cgroup/app/memory.max": "1000000\n",
            "sys/fs/cgroup/app/web/memory.max": "max\n",
        },
    )
    assert limits.read(root).memory == limits.Limit(1_000_000.0, "cgroup memory.max")


def test_version_1_groups_are_read_and_their_unlimited_value_is_no_limit(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/app\n3:cpu,cpuacct:/app\n",
            "sys/fs/cgroup/memory/app/memory.limit_in_bytes": "2000000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/app/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu/app/cpu.cfs_period_us": "100000\n",
        },
    )
    found = limits.read(root)
    assert found.memory == limits.Limit(2_000_000.0, "cgroup memory.limit_in_bytes")
    assert found.cores == limits.Limit(0.25, "cgroup cpu.cfs_quota_us")


def test_without_any_group_the_machine_is_the_limit(tmp_path):
    found = limits.read(tmp_path)
    assert found.memory is not None
    assert found.memory.source in ("physical memory", "RLIMIT_AS")
    assert found.cores.source == "CPU affinity"


@pytest.mark.parametrize("text", ["", "rubbish\n", "max\n", "-1\n"])
def test_what_cannot_be_read_is_no_limit(tmp_path, text):
    root = write(tmp_path, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": text})
    assert limits.read(root).memory.source != "cgroup memory.max"


def test_the_descriptor_limit_is_the_soft_one():
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limits.read().descriptors == limits.Limit(float(soft), "RLIMIT_NOFILE")
