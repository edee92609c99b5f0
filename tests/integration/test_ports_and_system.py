"""Programs with trouble around their descriptors and their machine, watched without a key; and one that is well."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import socket
import subprocess
import sys
import textwrap
import threading

import blinker
import pytest

from beamlens import Beamlens
from beamlens.domains import PortsDomain, SystemDomain
from beamlens.domains.system.space import Spaces
from tests.support.machines import Machine, space

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux")

CLOSE_WAIT = """
    import socket
    SESSIONS = []
    def serve(listener):
        while True:
            connection, _peer = listener.accept()  # here
            if connection.recv(10) == b"end":
                connection.close()
                return
            SESSIONS.append(connection)
    def close():
        for connection in SESSIONS:
            connection.close()
"""
WRITER = """
    OUT = []
    def work(path, stop):
        OUT.append(open(path, "wb", buffering=0))  # here
        while not stop.wait(0.05):
            OUT[0].write(bytes(1_000_000))
    def close():
        OUT[0].close()
"""
BURNER = """
    def work(stop):
        total = 0
        while not stop.is_set():
            total = sum(number * number for number in range(20_000))  # here
    def close():
        pass
"""


@pytest.fixture
def load(tmp_path):
    loaded = []

    def load(source):
        file = tmp_path / f"trouble_{tmp_path.name.replace('-', '_')}.py"
        file.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
        loaded.append(module)
        line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text)
        return module, (str(file), line)

    yield load
    for module in loaded:
        module.close()
        del sys.modules[module.__name__]


@pytest.fixture
def heard():
    """Alerts and insights, as they come."""
    alerts, insights = queue.Queue(), queue.Queue()

    def on_alert(_sender, *, alert, **_metadata):
        alerts.put(alert)

    def on_insight(_sender, *, insight, **_metadata):
        insights.put(insight)

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    return alerts, insights, on_alert, on_insight


def place(cause):
    return cause.place.file, cause.place.line


def test_connections_that_the_server_never_closes_are_told_with_peer_and_line(load, heard):
    module, here = load(CLOSE_WAIT)
    alerts, insights, *_receivers = heard
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        server = threading.Thread(target=module.serve, args=(listener,))
        server.start()
        try:
            with Beamlens.start(watchers=["ports"]):
                while alerts.empty():
                    with socket.create_connection(address) as client:
                        client.sendall(b"hello")
                    server.join(0.1)
                alert = alerts.get()
                insight = insights.get(timeout=60)
        finally:
            with socket.create_connection(address) as client:
                client.sendall(b"end")
            server.join()
    assert (alert.anomaly_type, alert.model) == ("close_wait_leak", "offline")
    assert f"peer: 127.0.0.1 (client of port {address[1]})" in alert.observation
    assert place(insight.cause) == here, insight.cause
    assert (insight.cause.kind, insight.confidence) == ("descriptor_leak", "high")
    assert alert.numbers_verified


LIMITED = """
import json, os, resource, sys, threading
import blinker
from beamlens import Beamlens
resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
told = threading.Event()
found = {}
def on_alert(_sender, *, alert, **_metadata):
    found.setdefault(alert.watcher, []).append([alert.anomaly_type, alert.observation])
def on_insight(_sender, *, insight, **_metadata):
    if "ports" in found:
        found["cause"] = insight.cause.model_dump() if insight.cause else None
        told.set()
blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
HELD = []
def leak():
    while not told.wait(0.1):
        HELD.append(open("/dev/null"))  # here
thread = threading.Thread(target=leak, daemon=True)
thread.start()
with Beamlens.start(watchers=WATCHERS):
    told.wait(60)
for one in HELD:
    one.close()
print(json.dumps(found))
"""


@pytest.mark.parametrize("watchers", [["ports"], ["ports", "runtime"]])
def test_the_end_of_the_descriptors_is_predicted_and_all_agree_who_opens_them(tmp_path, watchers):
    file = tmp_path / "limited.py"
    file.write_text(LIMITED.replace("WATCHERS", repr(watchers)))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    ((kind, observation),) = found["ports"]
    assert kind == "descriptor_exhaustion"
    assert "at this pace the limit of 400 descriptors is reached in about" in observation
    assert found["cause"]["kind"] == "descriptor_leak"
    assert (found["cause"]["place"]["file"], found["cause"]["place"]["line"]) == (str(file), line)


def test_a_program_that_fills_a_disk_is_told_with_disk_file_and_line(load, heard, tmp_path):
    module, here = load(WRITER)
    alerts, insights, *_receivers = heard
    disk = tmp_path / "disk"
    disk.mkdir()
    machine = Machine(tmp_path / "root")
    machine.write("proc/self/mountinfo", f"1 0 8:1 / {disk} rw - ext4 /dev/small rw\n")

    def statvfs(path):
        return space(1_000, 500 + sum(one.stat().st_size for one in disk.iterdir()) // 1_000_000)

    stop = threading.Event()
    writer = threading.Thread(target=module.work, args=(disk / "export.csv", stop))
    writer.start()
    try:
        with Beamlens.start(watchers=[SystemDomain(machine.root, Spaces(statvfs))]):
            alert = alerts.get(timeout=90)
            insight = insights.get(timeout=60)
    finally:
        stop.set()
        writer.join()
    assert alert.anomaly_type == "disk_full"
    assert f"{disk} (ext4, /dev/small) is " in alert.observation
    assert f"this process writes {disk / 'export.csv'}" in alert.observation
    assert place(insight.cause) == here, insight.cause
    assert (insight.cause.kind, insight.confidence) == ("disk_full", "high")


def test_a_container_at_its_cpu_limit_is_told_with_the_line_that_burns(load, heard, tmp_path):
    module, here = load(BURNER)
    alerts, insights, *_receivers = heard
    machine = Machine(tmp_path / "root")
    # The processes are the real ones; the control group is made up.
    (machine.root / f"proc/{os.getpid()}").symlink_to(f"/proc/{os.getpid()}")
    machine.version2()
    stop = threading.Event()

    def throttle():
        periods = 0
        while not stop.wait(0.2):
            periods += 2
            machine.version2(periods=periods, throttled=periods)

    threads = [threading.Thread(target=throttle), threading.Thread(target=module.work, args=(stop,))]
    for thread in threads:
        thread.start()
    try:
        with Beamlens.start(watchers=[SystemDomain(machine.root, Spaces(lambda _path: space(100, 20)))]):
            alert = alerts.get(timeout=90)
            insight = insights.get(timeout=60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (alert.anomaly_type, alert.severity) == ("cpu_throttling", "critical")
    assert "the CPU limit of 0.5 cores stopped this container in " in alert.observation
    assert (insight.cause.kind, place(insight.cause)) == ("resource_limit", here)


def test_a_busy_healthy_server_stays_without_an_alert(heard, tmp_path):
    alerts, _insights, *_receivers = heard
    machine = Machine(tmp_path / "root")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        address = listener.getsockname()

        def serve():
            while True:
                connection, _peer = listener.accept()
                with connection:
                    if connection.recv(10) == b"end":
                        return
                    connection.sendall(b"x" * 100_000)

        server = threading.Thread(target=serve)
        server.start()
        looks = 0
        try:
            domains = [PortsDomain(), SystemDomain(machine.root, Spaces(lambda _path: space(100, 60)))]
            with Beamlens.start(watchers=domains) as lens:
                for request in range(600):
                    machine.cpu(user=90 * request, system=8 * request, idle=100 + request)
                    with socket.create_connection(address) as client:
                        client.sendall(b"get")
                        while client.recv(65_536):
                            pass
                    server.join(0.02)
                looks = sum(watcher.runs for watcher in lens.list_watchers())
                active = [name for watcher in lens.list_watchers() for name in watcher.active_sensors]
        finally:
            with socket.create_connection(address) as client:
                client.sendall(b"end")
            server.join()
    assert (alerts.qsize(), active) == (0, [])
    assert looks == 2
