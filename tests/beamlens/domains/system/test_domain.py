from __future__ import annotations

import json
import os
import sys

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import SystemDomain
from beamlens.domains.system import cpu, identity, memory, neighbours, network
from beamlens.domains.system.space import Spaces
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock
from tests.support.machines import MEMINFO, Machine, space


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


def watch(machine, statvfs=lambda _path: space(100, 20)):
    return SystemDomain(machine.root, Spaces(statvfs))


def ask(domain, name, *arguments):
    return domain.callbacks()[f"system_{name}"](*arguments)


def test_the_contract_is_kept_here_on_a_made_up_machine_and_on_one_that_tells_nothing(machine, tmp_path):
    check_domain(SystemDomain())
    check_domain(watch(machine))
    check_domain(watch(Machine(tmp_path / "other")))
    check_domain(SystemDomain(tmp_path / "nowhere"))


def test_a_system_that_tells_nothing_has_none_with_a_reason_and_callbacks_say_unsupported(tmp_path):
    domain = SystemDomain(tmp_path / "nowhere")
    snapshot = domain.snapshot()
    missing = {name for name, value in snapshot.items() if value is None}
    assert missing == set(snapshot["_unavailable"]) == {m.name for m in domain.metrics} - {"clock_step_s"}
    for name in ("get_cpu", "get_memory", "get_network", "get_pressure", "get_cgroup", "top_processes"):
        assert ask(domain, name)["error"] == "unsupported", name
    assert ask(domain, "get_disks") == ask(domain, "disk_growth") == []
    bank = SensorBank(domain.all_sensors())
    assert bank.feed(0.0, domain.sense()) == []


def test_every_sensor_reads_something_that_is_sensed():
    domain = SystemDomain()
    assert {sensor.metric for sensor in domain.all_sensors()} <= set(domain.sense())


def test_caches_that_can_be_given_back_are_not_used(clock, machine):
    domain = watch(machine)
    answer = ask(domain, "get_memory")
    assert (answer["used_pct"], answer["used_mb"], answer["available_mb"]) == (25.0, 2048.0, 6144.0)
    assert answer["free_mb"] == 409.6
    assert domain.snapshot()["memory_used_pct"] == 25.0
    assert domain.snapshot()["swap_used_pct"] == 25.0


def test_an_old_kernel_that_does_not_tell_what_is_available_is_reckoned_for(machine):
    lines = [line for line in MEMINFO.splitlines() if "Available" not in line]
    machine.write("proc/meminfo", "\n".join(lines))
    assert memory.read(machine.root).available == 5_500_000 * 1024


def test_a_load_that_is_not_told_is_not_zero(clock, machine):
    (machine.root / "proc/loadavg").unlink()
    snapshot = watch(machine).snapshot()
    assert (snapshot["cpu_load_1m"], snapshot["load_per_core"]) == (None, None)
    assert snapshot["_unavailable"]["cpu_load_1m"] == "this system does not tell"


def test_counters_become_rates_between_two_looks(clock, machine):
    domain = watch(machine)
    first = domain.snapshot()
    assert first["cpu_pct"] is None
    assert first["_unavailable"]["cpu_pct"] == "measured between two looks, half a second apart"
    clock.advance(2.0)
    machine.cpu(user=50, system=20, idle=110, iowait=10, steal=10)
    machine.network(rx=4_000_000, tx=2_000_000, errors=4, sent=400, again=20)
    machine.disk(read=2_000, written=8_000, busy=1_000)
    machine.write("proc/vmstat", "pswpin 1100\npswpout 2100\noom_kill 2\n")
    now = domain.snapshot()
    assert (now["cpu_pct"], now["cpu_iowait_pct"], now["cpu_steal_pct"]) == (80.0, 10.0, 10.0)
    assert (now["net_rx_mb_per_s"], now["net_tx_mb_per_s"], now["net_errors_per_s"]) == (2.0, 1.0, 2.0)
    assert (now["tcp_retransmit_pct"], now["disk_busy_pct"]) == (5.0, 50.0)
    assert (now["swap_in_mb_per_s"], now["swap_out_mb_per_s"]) == (2.048, 4.096)
    assert now["swap_thrash_mb_per_s"] == 2.048
    assert (now["load_per_core"], now["uptime_hours"]) == (0.75, 2.0)
    cores = ask(domain, "get_cpu")["by_core"]
    assert [core["core"] for core in cores] == ["cpu0"]  # the other one's counters stand still
    assert ask(domain, "get_cpu")["context_switches_per_s"] == 250.0


def test_counters_that_start_again_have_no_rate(clock, machine):
    machine.network(rx=9_000_000, sent=5_000, again=50)
    domain = watch(machine)
    domain.snapshot()
    clock.advance(2.0)
    machine.network(rx=10)
    machine.write("proc/vmstat", "pswpin 0\npswpout 0\noom_kill 0\n")
    now = domain.snapshot()
    assert (now["net_rx_mb_per_s"], now["swap_in_mb_per_s"], now["tcp_retransmit_pct"]) == (0.0, None, None)
    assert [row["name"] for row in ask(domain, "get_network")["interfaces"]] == ["lo"]


def test_a_group_of_version_2_tells_limits_and_throttling(clock, machine):
    machine.version2()
    domain = watch(machine)
    domain.snapshot()
    clock.advance(10.0)
    machine.version2(periods=100, throttled=40, high=20, killed=1)
    now = domain.snapshot()
    assert (now["cpu_throttled_pct"], now["memory_high_per_s"], now["oom_kills_1m"]) == (40.0, 2.0, 0)
    told = ask(domain, "get_cgroup")
    assert (told["version"], told["cpu_limit_cores"], told["memory_limit_mb"]) == (2, 0.5, 512.0)
    assert (told["throttled"], told["throttled_seconds"], told["throttled_ms_per_s"]) == (40, 2.0, 200.0)
    assert (told["memory_high_mb"], told["pids"], told["pids_limit"]) == (None, 12, 100)


def test_a_group_of_version_1_tells_limits_and_throttling(clock, machine):
    machine.version1()
    domain = watch(machine)
    domain.snapshot()
    clock.advance(10.0)
    machine.version1(periods=50, throttled=10)
    now = domain.snapshot()
    assert now["cpu_throttled_pct"] == 20.0
    assert now["_unavailable"]["memory_high_per_s"] == "no cgroup version 2"
    told = ask(domain, "get_cgroup")
    assert (told["version"], told["cpu_limit_cores"], told["memory_limit_mb"]) == (1, 1.5, 256.0)
    assert (told["oom_kills"], told["throttled_seconds"]) == (3, 0.5)


def test_the_pressure_of_the_own_group_comes_before_the_machines(clock, machine):
    domain = watch(machine)
    assert ask(domain, "get_pressure")["error"] == "unsupported"
    assert "PSI" in domain.snapshot()["_unavailable"]["pressure_cpu_some_pct"]
    machine.pressure("proc/pressure", some=30.0, full=5.0)
    assert ask(domain, "get_pressure")["of"] == "host"
    assert domain.snapshot()["pressure_cpu_some_pct"] == 30.0
    machine.version2()
    machine.pressure("sys/fs/cgroup", ".pressure", some=70.0)
    clock.advance(60.0)
    told = ask(domain, "get_pressure")
    assert (told["of"], told["cpu"]["some"]["avg10"], told["cpu"]["some"]["avg300"]) == ("cgroup", 70.0, 0.5)


def test_a_kill_for_want_of_memory_is_counted_for_a_minute(clock, machine):
    domain = watch(machine)
    assert domain.sense()["oom_kills_1m"] == 0
    machine.write("proc/vmstat", "oom_kill 5\n")
    assert domain.sense()["oom_kills_1m"] == 3
    clock.advance(59.0)
    assert domain.sense()["oom_kills_1m"] == 3
    clock.advance(2.0)
    assert domain.sense()["oom_kills_1m"] == 0


def test_a_step_of_the_clock_is_told_for_a_minute(clock, machine, monkeypatch):
    domain = watch(machine)
    assert domain.sense()["clock_step_s"] == 0.0
    real = os.times().elapsed
    monkeypatch.setattr("beamlens.domains.system.host.time.time", lambda: 1e9)
    monkeypatch.setattr("beamlens.domains.system.host.time.monotonic", lambda: real)
    domain.sense()
    clock.advance(61.0)
    assert domain.sense()["clock_step_s"] == 0.0
    monkeypatch.setattr("beamlens.domains.system.host.time.time", lambda: 1e9 - 30)
    assert domain.sense()["clock_step_s"] == -30.0


def test_systems_without_proc_are_asked_through_psutil():
    assert cpu._elsewhere().total["idle"] > 0
    assert memory._elsewhere().total == memory.read().total
    assert "lo" in network._elsewhere().interfaces


def test_processes_are_told_by_name_and_never_by_argument(machine):
    domain = SystemDomain()
    answer = ask(domain, "top_processes", 50, "memory")
    mine = [row for row in answer["processes"] if row["pid"] == os.getpid()]
    assert len(mine) == 1
    sizes = [row["memory_mb"] for row in answer["processes"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(answer["processes"]) <= 50
    assert not any(argument in json.dumps(answer) for argument in sys.argv[1:] if len(argument) > 15)
    assert ask(domain, "top_processes", 5, "age")["message"] == "sort_by='age'; the choices are: cpu, memory, disk"
    assert ask(domain, "top_processes", -5)["processes"] != []


def test_names_with_brackets_and_processes_that_are_hidden_are_read(machine):
    fields = " ".join(["S", "1", *["0"] * 9, "150", "50", "0", "0", "20", "0", "3", "0", "900", "0", "2560"])
    machine.write("proc/12/stat", f"12 (a) b (c) {fields}\n")
    machine.write("proc/13/stat", "")
    found = neighbours.read(machine.root)
    assert (found.hidden, found.complete) == (1, True)
    (one,) = found.found.values()
    assert (one.name, one.parent, one.state, one.threads, one.cpu) == ("a) b (c", 1, "S", 3, 200 / neighbours._HERTZ)


def test_a_pid_that_was_used_again_used_nothing_before(machine):
    def one(cpu, started):
        fields = " ".join(["R", "1", *["0"] * 9, str(cpu), "0", "0", "0", "20", "0", "1", "0", str(started), "0", "1"])
        machine.write("proc/12/stat", f"12 (x) {fields}\n")
        return neighbours.read(machine.root)

    assert neighbours.usage(one(100, 7), one(300, 7), 1.0)[0].cpu_pct == 100 * 200 / neighbours._HERTZ
    assert neighbours.usage(one(100, 7), one(300, 8), 1.0) == []


POD = "0::/kubepods.slice/kubepods-pod12345678_1234_1234_1234_123456789abc.slice/cri-{}.scope\n"


def test_a_pod_is_told_from_files_and_known_variables_only(machine):
    machine.write("proc/self/cgroup", POD.format("ab" * 32))
    machine.write("var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop\n")
    machine.write("etc/os-release", 'NAME="X"\nPRETTY_NAME="Debian 12"\n')
    variables = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "web-7", "NODE_NAME": "n1", "PASSWORD": "hunter2"}
    told = identity.read(machine.root, variables)
    assert (told["platform"], told["pod_name"], told["pod_namespace"]) == ("kubernetes", "web-7", "shop")
    assert (told["node_name"], told["system"], told["container_id"]) == ("n1", "Debian 12", "abababababab")
    assert told["pod_uid"] == "12345678-1234-1234-1234-123456789abc"
    assert told["in_container"] is True
    assert "hunter2" not in str(told)


def test_a_plain_machine_is_no_container(machine):
    told = identity.read(machine.root, {"HOSTNAME": "desk"})
    assert (told["in_container"], told["platform"], told["pod_name"], told["container_id"]) == (False, None, None, None)


def busy_but_healthy(machine, second):
    machine.cpu(user=90 * second, system=8 * second, idle=100 + 2 * second)
    machine.network(rx=50_000_000 * second, tx=90_000_000 * second, sent=20_000 * second, again=40 * second)
    machine.disk(read=50_000 * second, written=90_000 * second, busy=900 * second)
    machine.write("proc/loadavg", "3.90 3.00 2.00 5/300 1\n")
    machine.pressure("proc/pressure", some=55.0, full=0.5)
    machine.version2(periods=10 * second, throttled=second)
    machine.write("proc/meminfo", MEMINFO.format(available=600_000))


def run(machine, change, seconds, statvfs=lambda _path: space(100, 20)):
    """The sensors that woke, in order, when a machine changes second by second."""
    woke = []
    with FakeClock() as clock:
        domain = watch(machine, statvfs)
        bank = SensorBank(domain.all_sensors())
        for second in range(seconds):
            change(machine, second)
            domain.snapshot()  # waits until the disks have answered
            woke += [sensor.name for sensor in bank.feed(clock.monotonic(), domain.sense())]
            clock.advance(1.0)
    assert bank.failed() == {}
    return woke


def test_a_busy_machine_that_is_healthy_wakes_no_sensor(machine):
    assert run(machine, busy_but_healthy, 150) == []


TROUBLE = {
    "cpu_steal": lambda m, s: m.cpu(user=50 * s, idle=100 + 30 * s, steal=20 * s),
    "load_over_cores": lambda m, _s: m.write("proc/loadavg", "8.00 5.00 2.00 9/300 1\n"),
    "cpu_throttling": lambda m, s: m.version2(periods=10 * s, throttled=6 * s),
    "memory_available_low": lambda m, _s: m.write("proc/meminfo", MEMINFO.format(available=200_000)),
    "swap_storm": lambda m, s: m.write("proc/vmstat", f"pswpin {2000 * s}\npswpout {1500 * s}\noom_kill 0\n"),
    "cpu_pressure": lambda m, _s: m.write("proc/pressure/cpu", "some avg10=95.00 avg60=90.00 avg300=9.00 total=1\n"),
    "memory_pressure": lambda m, _s: m.write("proc/pressure/memory", "full avg10=30.00 avg60=9.00 total=1\n"),
    "io_pressure": lambda m, _s: m.write("proc/pressure/io", "full avg10=80.00 avg60=9.00 total=1\n"),
    "memory_throttling": lambda m, s: m.version2(high=100 * s),
    "oom_kill": lambda m, s: m.write("proc/vmstat", f"oom_kill {s // 20}\n"),
    "network_errors": lambda m, s: m.network(errors=50 * s),
    "tcp_retransmits": lambda m, s: m.network(sent=1000 * s, again=200 * s),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_each_kind_of_trouble_wakes_its_sensor_and_no_other(machine, name):
    assert run(machine, TROUBLE[name], 90) == [name]


@pytest.mark.parametrize("name", [*TROUBLE, "disk_fills", "disk_used", "disk_inodes_used", "disk_hangs"])
def test_each_sensor_is_explained_from_what_can_be_seen(machine, name):
    from beamlens.detect import SensorState

    machine.version2(periods=10, throttled=5)
    domain = watch(machine)
    domain.snapshot()
    state = SensorState(name, name, name, "warning", "high", 0.0, 1.0)
    for piece in domain.evidence(state):
        assert piece.text
        assert json.loads(json.dumps(piece.data)) == piece.data


def test_the_excerpt_tells_where_it_runs_and_the_fullest_disks(machine):
    domain = watch(machine)
    domain.snapshot()
    assert domain.excerpt(5)[1:] == ["/: 20% used", "/data: 20% used", "/mnt/nas: 20% used"]
