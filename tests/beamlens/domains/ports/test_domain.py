from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import ExitStack

import pytest

from beamlens.detect import SensorBank
from beamlens.domains import PortsDomain
from beamlens.domains.ports import blocked, table
from beamlens.domains.ports.table import Table
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux")


@pytest.fixture
def domain():
    return PortsDomain()


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connection(held):
    listener = held.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
    client = held.enter_context(socket.create_connection(listener.getsockname()[:2]))
    return listener, client, held.enter_context(listener.accept()[0])


def ask(domain, name, *arguments):
    return domain.callbacks()[f"ports_{name}"](*arguments)


@pytest.mark.usefixtures("connection")
def test_the_contract_is_kept(domain):
    check_domain(domain)


@pytest.mark.usefixtures("connection")
def test_a_snapshot_counts_by_kind_and_state(domain):
    before = domain.snapshot()
    assert before["tcp_listening"] >= 1
    assert before["tcp_established"] >= 2
    assert before["sockets"] >= 3
    kinds = before["files"] + before["sockets"] + before["pipes"] + before["others"]
    assert kinds == pytest.approx(before["port_count"], abs=2)
    assert before["port_utilization_pct"] == round(100 * before["port_count"] / before["port_limit"], 2)
    assert json.loads(json.dumps(before)) == before


def test_what_cannot_be_had_is_none_with_its_reason(domain, monkeypatch):
    monkeypatch.setattr(table, "read", lambda _seconds: Table((), complete=False))
    snapshot = domain.snapshot()
    missing = {name for name, value in snapshot.items() if value is None}
    assert missing == set(snapshot["_unavailable"]) >= {"files", "sockets", "close_wait", "send_queue_kb"}
    assert snapshot["_unavailable"]["files"] == "this system does not tell"
    for name in ("list", "list_inet", "top", "top_by_queue", "suspended_processes"):
        assert ask(domain, name)["error"] == "unsupported"
    check_domain(domain)


def test_sockets_that_cannot_be_asked_about_leave_the_rest(domain, monkeypatch):
    entry = table.Entry(0, "file", "/dev/null")
    monkeypatch.setattr(table, "read", lambda _seconds: Table((entry,), failure="PermissionError: not here"))
    snapshot = domain.snapshot()
    assert snapshot["files"] == 1
    assert snapshot["_unavailable"]["close_wait"] == "PermissionError: not here"
    assert ask(domain, "list_inet")["message"] == "PermissionError: not here"


def test_a_table_that_is_not_complete_gives_no_counts(domain, monkeypatch):
    entry = table.Entry(0, "file", "/dev/null")
    monkeypatch.setattr(table, "read", lambda _seconds: Table((entry,), complete=False))
    snapshot = domain.snapshot()
    assert (snapshot["files"], snapshot["close_wait"]) == (None, None)
    assert snapshot["_unavailable"]["files"] == "there are too many descriptors or sockets to read them all in time"
    assert ask(domain, "list")["complete"] is False


def test_every_sensor_reads_something_that_is_sensed(domain):
    assert {sensor.metric for sensor in domain.all_sensors()} <= set(domain.sense())


def test_ipv6_is_written_as_ipv6(domain, connection):
    _listener, client, _server = connection
    row = ask(domain, "info", str(client.fileno()))
    assert row["local_addr"] == f"[::1]:{client.getsockname()[1]}"
    assert row["remote_addr"] == f"[::1]:{client.getpeername()[1]}"


def test_buffers_are_bytes_that_wait_and_not_what_ever_went_through(domain, connection):
    _listener, client, server = connection
    client.sendall(b"x" * 9_000)
    server.recv(9_000, socket.MSG_WAITALL)
    client.sendall(b"x" * 700)
    rows = {row["id"]: row for row in ask(domain, "top_by_buffer", 50, "recv")}
    (row,) = [row for name, row in rows.items() if name.startswith(f"{server.fileno()}:")]
    assert row["receive_queue_bytes"] == 700
    assert ask(domain, "inet_stats", row["id"])["received"] == 9_700
    assert ask(domain, "top_by_buffer", 5, "both")["message"] == "direction='both'; the choices are: send, recv"
    assert ask(domain, "top", 5, "size")["message"] == "sort_by='size'; the choices are: queue, input, output, memory"
    assert row["id"] in [one["id"] for one in ask(domain, "top", 50, "input")]


def test_a_number_that_was_used_again_is_noticed(domain, tmp_path):
    first = os.open(tmp_path / "first", os.O_CREAT)
    name = ask(domain, "info", str(first))["id"]
    assert ask(domain, "info", name)["target"] == str(tmp_path / "first")
    os.close(first)
    assert ask(domain, "info", name)["error"] == "port_not_found"
    second = os.open(tmp_path / "second", os.O_CREAT)
    try:
        assert second == first
        answer = ask(domain, "info", name)
        assert answer["error"] == "port_reused"
        assert f"descriptor {first} is {first}:file:" in answer["message"]
    finally:
        os.close(second)


@pytest.mark.parametrize("name", ["info", "inet_stats"])
@pytest.mark.parametrize("wrong", ["", "-1", "x:y", "12 34", "9" * 30, "٣"])
def test_an_id_that_is_none_is_answered(domain, name, wrong):
    assert ask(domain, name, wrong)["error"] == "bad_argument"


def test_only_connections_have_statistics(domain, connection):
    assert ask(domain, "inet_stats", str(connection[0].fileno()))["error"] == "not_a_connection"


def test_listings_are_capped(domain, held):
    for _ in range(80):
        held.enter_context(socket.socket())
    listing = ask(domain, "list")
    assert listing["total"] >= 80
    assert len(listing["ports"]) == listing["showing"] == 50


def test_a_listening_socket_tells_who_waits(domain, held):
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=3))
    held.enter_context(socket.create_connection(listener.getsockname()))
    queues = ask(domain, "top_by_queue", 50)["accept_queues"]
    (row,) = [row for row in queues if row["local_addr"].endswith(f":{listener.getsockname()[1]}")]
    assert (row["waiting"], row["backlog"]) == (1, 3)


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_thread_that_waits_for_a_peer_is_told_with_call_and_line(domain, connection, timeout):
    _listener, client, server = connection
    server.settimeout(timeout)

    def read():
        server.recv(1)

    thread = threading.Thread(target=read, name="reader")
    thread.start()
    try:
        for _ in range(500):
            rows = [row for row in ask(domain, "suspended_processes") if row["thread"] == "reader"]
            if rows:
                break
            thread.join(0.02)
    finally:
        client.sendall(b"x")
        thread.join()
    (row,) = rows
    assert row["call"] == ("recv" if timeout is None else "poll")
    assert row["id"].startswith(f"{server.fileno()}:socket:")
    assert row["remote_addr"] == f"[::1]:{client.getsockname()[1]}"
    assert row["at"].endswith("<locals>.read")


def test_an_unknown_processor_tells_no_calls(monkeypatch):
    monkeypatch.setattr(blocked.platform, "machine", lambda: "vax")
    assert blocked.look(frozenset(range(100))) == []


def grow(domain, clock, held, samples):
    for _ in range(samples):
        for _ in range(10):
            held.callback(os.close, os.dup(0))
        domain.sense()
        clock.advance(5.0)


def test_the_limit_is_predicted_by_measured_growth(domain, held):
    with FakeClock() as clock:
        assert ask(domain, "saturation_prediction")["error"] == "not_yet"
        grow(domain, clock, held, 8)
        told = ask(domain, "saturation_prediction", 5)
        snapshot = domain.snapshot()
    assert told["growth_per_minute"] == pytest.approx(120, rel=0.1)
    assert told["steady"]
    assert told["minutes_to_limit"] == pytest.approx((told["limit"] - told["count"]) / 120, rel=0.1)
    assert snapshot["minutes_to_limit"] == pytest.approx(told["minutes_to_limit"], rel=0.1)


def test_what_does_not_grow_has_no_end(domain):
    with FakeClock() as clock:
        for _ in range(8):
            domain.sense()
            clock.advance(5.0)
        told = ask(domain, "saturation_prediction")
    assert (told["minutes_to_limit"], told["risk"], told["steady"]) == (None, "none", False)


def test_queues_that_grow_are_told_with_their_sockets(domain, connection):
    _listener, client, server = connection
    with FakeClock() as clock:
        assert ask(domain, "queue_growth")["error"] == "not_yet"
        domain.sense()
        clock.advance(6.0)
        client.sendall(b"x" * 20_480)
        domain.sense()
        told = ask(domain, "queue_growth", 10)
    assert told["receive_growth_kb"] >= 20.0
    (row,) = [row for row in told["sockets"] if row["id"].startswith(f"{server.fileno()}:")]
    assert row["growth_kb"] == 20.0
    assert told["observed_minutes"] == 0.1


def test_a_busy_healthy_server_wakes_no_sensor(domain, held):
    """Short connections, kept ones, large answers, a file for each request: a minute of it, second by second."""
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
    address = listener.getsockname()

    def serve():
        while True:
            connection, _peer = listener.accept()
            with connection, open("/etc/hostname", "rb"):
                if connection.recv(10) == b"end":
                    return
                connection.sendall(b"x" * 50_000)

    thread = threading.Thread(target=serve)
    thread.start()
    bank, woke = SensorBank(domain.all_sensors()), []
    try:
        with FakeClock() as clock:
            for second in range(60):
                pool = [socket.create_connection(address) for _ in range(5 + second % 7)]
                for one in pool:
                    one.sendall(b"get")
                    while one.recv(65_536):
                        pass
                woke += bank.feed(clock.monotonic(), domain.sense())
                for one in pool:
                    one.close()
                clock.advance(1.0)
    finally:
        with socket.create_connection(address) as last:
            last.sendall(b"end")
        thread.join()
    assert woke == []
    assert bank.failed() == {}


@pytest.mark.usefixtures("connection")
def test_the_excerpt_names_peers(domain):
    lines = domain.excerpt(5)
    assert lines[0].startswith("descriptors: ")
    assert any("[::1]" in line for line in lines)


def test_a_process_without_a_descriptor_left_is_still_watched():
    program = """
        import os, resource
        from beamlens.detect import SensorState
        from beamlens.domains import PortsDomain, SystemDomain
        from beamlens.testing import check_domain
        domains = [PortsDomain(), SystemDomain()]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for domain in domains:
            check_domain(domain)
            domain.sense()
            for sensor in domain.all_sensors():
                domain.evidence(SensorState(sensor.name, sensor.metric, "t", "warning", "r", 0.0, 1.0))
        data = domains[0].snapshot()
        print(data["port_count"] == data["port_limit"], data["files"] >= len(held), data["close_wait_stale"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("True True None", 0), done.stderr
