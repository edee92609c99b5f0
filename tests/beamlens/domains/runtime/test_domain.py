from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from beamlens.detect import SensorBank, SensorState
from beamlens.domains import BUILT_IN, LoggerDomain, RuntimeDomain, built_in
from beamlens.domains.runtime import bounds, descriptors, gil, memory, threads
from beamlens.domains.runtime import domain as domain_module
from beamlens.evidence import Evidence, Strength
from beamlens.probes import limits
from beamlens.probes.gil import GilReading, ticker
from beamlens.probes.limits import Limit, Limits
from beamlens.probes.process import ProcessNumbers
from tests.support.threads import until


def ticking():
    return [thread for thread in threading.enumerate() if thread.name == "beamlens-gil-ticker"]


@pytest.fixture
def domain():
    domain = RuntimeDomain()
    yield domain
    running = ticking()
    domain.close()
    for thread in running:
        thread.join(10)


def measured(domain):
    """A snapshot once the ticker has run for long enough."""
    pause = threading.Event()
    for _ in range(200):
        snapshot = domain.snapshot()
        if snapshot["run_queue_ms"] is not None:
            return snapshot
        pause.wait(0.05)
    raise TimeoutError("the ticker does not tick")


def test_a_snapshot_has_every_metric_and_each_limit_with_its_source(domain):
    snapshot = measured(domain)
    assert {metric.name for metric in domain.metrics} <= set(snapshot)
    for name in ("memory_limit", "thread_limit", "descriptor_limit", "cores"):
        assert isinstance(snapshot[f"{name}_source"], (str, type(None)))
    assert snapshot["memory_utilization_pct"] == pytest.approx(
        100 * snapshot["memory_mb"] / snapshot["memory_limit_mb"], rel=0.2, abs=100
    )
    assert json.loads(json.dumps(snapshot)) == snapshot


def test_what_cannot_be_had_is_none_with_its_reason(domain):
    snapshot = domain.snapshot()
    missing = {name for name, value in snapshot.items() if value is None}
    assert missing == set(snapshot["_unavailable"])
    assert snapshot["_unavailable"]["run_queue_ms"] == "measured half a second after the first look"
    assert ("interned_strings" in missing) == (sys.version_info < (3, 12))


def test_every_sensor_reads_something_that_is_sensed(domain):
    sensed = domain.sense()
    assert {sensor.metric for sensor in domain.all_sensors()} <= set(sensed)
    assert {sensor.name for sensor in domain.all_sensors()} >= {
        "memory_growth", "descriptor_growth", "thread_growth", "gil_contention",
        "memory_utilization_pct_threshold", "descriptor_utilization_pct_threshold",
    }  # fmt: skip
    names = [sensor.name for sensor in domain.all_sensors()]
    assert len(names) == len(set(names))


def test_numbers_follow_the_process(domain):
    def more():
        before = domain.sense()
        with ExitStack() as held:
            for _ in range(5):
                held.enter_context(open("/dev/null"))
            return domain.sense()["descriptor_count"] - before["descriptor_count"]

    # The sampler and the ticker have a file open now and then, or from their start on.
    until(lambda: more() == 5)
    assert domain.sense()["thread_count"] >= 2


def test_nothing_starts_before_the_first_look_and_close_stops_it():
    domain = RuntimeDomain()
    domain.metrics, domain.callbacks(), domain.system_prompt()
    assert not ticking()
    domain.sense()
    domain.sense()
    (thread,) = ticking()
    domain.close()
    domain.close()
    thread.join(10)
    assert not thread.is_alive()


def test_two_domains_share_one_ticker():
    first, second = RuntimeDomain(), RuntimeDomain()
    first.sense()
    second.sense()
    (thread,) = ticking()
    first.close()
    assert ticking() == [thread]
    second.close()
    thread.join(10)
    assert not thread.is_alive()


def test_without_a_thread_for_the_ticker_the_rest_is_still_told(domain, monkeypatch):
    def refuse():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ticker, "start", refuse)
    sensed = domain.sense()
    assert sensed["gil_wait_pct"] is None
    assert sensed["memory_mb"] > 0


def gil_reading(**values):
    fields = dict.fromkeys(
        ("lateness_ms", "p95_ms", "max_ms", "wait_ms", "wait_share", "cpu_cores", "elsewhere_share"), 0.0
    )
    return GilReading(**{**fields, "seconds": 3.0, "stall_ms": 150.0, "explained": True, **values})


def test_single_stalls_are_told_only_beside_a_gil_that_is_mostly_free(domain, monkeypatch):
    monkeypatch.setattr(domain, "_gil", lambda: gil_reading(wait_share=0.05))
    assert domain.sense()["gil_stall_ms"] == 150.0
    monkeypatch.setattr(domain, "_gil", lambda: gil_reading(wait_share=0.5))
    snapshot = domain.snapshot()
    assert (snapshot["gil_wait_pct"], snapshot["gil_stall_ms"]) == (50.0, None)
    assert "see gil_wait_pct" in snapshot["_unavailable"]["gil_stall_ms"]


def test_stalls_that_come_again_and_again_make_a_sensor_active(domain):
    sensors = [sensor for sensor in domain.all_sensors() if sensor.name == "gil_stalls"]
    bank = SensorBank(sensors)
    for second in range(8):
        assert bank.feed(float(second), {"gil_stall_ms": 150.0}) == []
    (state,) = bank.feed(8.0, {"gil_stall_ms": 150.0})
    assert state.anomaly_type == "gil_contention"
    once = SensorBank(sensors)
    for second in range(60):
        once.feed(float(second), {"gil_stall_ms": 600.0 if second < 4 else 0.0})
        assert once.active() == ()


NUMBERS = ProcessNumbers(rss=100, threads=4, python_threads=4, descriptors=9, cpu_seconds=1.0, vms=700)


def test_an_address_space_limit_is_compared_with_the_address_space():
    limit = Limit(1000.0, "RLIMIT_AS")
    assert bounds.share(bounds.memory_used(NUMBERS, limit), limit) == 70.0


def test_a_control_group_counts_with_all_its_processes(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("inactive_file 50\n")
    (tmp_path / "pids.current").write_text("40\n")
    memory_limit = Limit(1000.0, "cgroup memory.max", tmp_path / "memory.max")
    thread_limit = Limit(50.0, "cgroup pids.max", tmp_path / "pids.max")
    assert bounds.share(bounds.memory_used(NUMBERS, memory_limit), memory_limit) == 85.0
    assert bounds.share(bounds.threads_used(NUMBERS, thread_limit), thread_limit) == 80.0


def test_without_limits_utilisation_is_none_with_its_reason(domain, monkeypatch):
    monkeypatch.setattr(bounds, "now", lambda: Limits(None, None, None, None))
    snapshot = domain.snapshot()
    for kind in ("memory", "thread", "descriptor"):
        assert snapshot[f"{kind}_utilization_pct"] is None
        assert snapshot["_unavailable"][f"{kind}_utilization_pct"] == "no limit is known"
    assert domain.callbacks()["runtime_get_memory"]()["limit_mb"] is None


def test_limits_are_read_again_after_a_while(monkeypatch):
    reads = []
    monkeypatch.setattr(bounds, "_read", None)
    monkeypatch.setattr(limits, "read", lambda: reads.append(1) or Limits(None, None, None, None))
    bounds.now()
    bounds.now()
    assert len(reads) == 1
    monkeypatch.setattr(bounds, "_FRESH", -1.0)
    bounds.now()
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("sensor", "module"),
    [
        ("memory_growth", memory),
        ("memory_utilization_pct_threshold", memory),
        ("descriptor_growth_slow", descriptors),
        ("thread_growth", threads),
        ("gil_contention", gil),
        ("gil_stalls", gil),
    ],
)
def test_each_sensor_is_explained_by_the_module_of_its_kind(domain, monkeypatch, sensor, module):
    told = Evidence(text="because", cause="memory_leak", strength=Strength.SUPPORTING)
    monkeypatch.setattr(module, "explain", lambda _sensor: [told])
    state = SensorState(sensor, "m", "t", "warning", "grows", 0.0, 1.0)
    assert domain.evidence(state) == [told]


def test_an_unknown_sensor_has_no_explanation(domain):
    assert domain.evidence(SensorState("other", "m", "t", "warning", "grows", 0.0, 1.0)) == []


def test_every_callback_of_the_seed_answers_with_json(domain):
    measured(domain)
    for name in ("memory", "processes", "schedulers", "atoms", "system", "persistent_terms"):
        answer = domain.callbacks()[f"runtime_get_{name}"]()
        assert json.loads(json.dumps(answer)) == answer
        assert "error" not in answer or name == "atoms"


def test_the_schedulers_are_not_told_before_they_are_measured(domain):
    assert domain.callbacks()["runtime_get_schedulers"]()["error"] == "not_yet"


def test_module_globals_are_counted(domain, monkeypatch):
    monkeypatch.setattr(domain_module, "A_LARGE_ONE", list(range(100_000)), raising=False)
    terms = domain.callbacks()["runtime_get_persistent_terms"]()
    assert {"name": f"{domain_module.__name__}.A_LARGE_ONE", "type": "list", "items": 100_000} in terms["largest"]
    assert terms["count"] > 10


@pytest.fixture
def waiting_thread():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="waits-in-a-test")
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_top_threads_tell_what_each_does(domain, waiting_thread):
    rows = domain.callbacks()["runtime_top_processes"](50, "name")
    names = [row["name"] for row in rows]
    assert names == sorted(names)
    row = next(row for row in rows if row["name"] == "waits-in-a-test")
    assert row["native_id"] == waiting_thread.native_id
    assert row["cpu_seconds"] >= 0.0
    by_cpu = domain.callbacks()["runtime_top_processes"]("50")
    assert [row["cpu_seconds"] or 0.0 for row in by_cpu] == sorted(
        (row["cpu_seconds"] or 0.0 for row in by_cpu), reverse=True
    )


@pytest.mark.usefixtures("waiting_thread")
def test_a_limit_is_kept_and_a_wrong_order_lists_the_choices(domain):
    top = domain.callbacks()["runtime_top_processes"]
    assert len(top(1)) == 1
    assert top(10, "size") == {"error": "bad_argument", "message": "sort_by='size'; the choices are: cpu, name"}
    assert top("many")["error"] == "bad_argument"


def test_the_built_in_domains_are_found_by_name():
    assert BUILT_IN["runtime"] is RuntimeDomain
    assert dict(BUILT_IN)["logger"] is LoggerDomain is built_in("logger")
    assert {"allocator", "anomaly", "database", "ets", "exception", "gc", "logger", "overload"} <= set(BUILT_IN)
    assert {"ports", "requests", "runtime", "system", "tracer", "vm_events"} <= set(BUILT_IN)
    with pytest.raises(KeyError):
        BUILT_IN["nonsense"]


def test_a_domain_that_is_not_used_is_not_imported():
    program = "import sys, beamlens.domains as d; len(d.BUILT_IN); print('beamlens.domains.runtime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
