from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.ports import network, table
from beamlens.domains.ports.declared import NearLimit
from beamlens.domains.ports.network import Counters
from beamlens.domains.ports.watch import STALE, Paced, Watch, trend
from beamlens.probes import sockets
from beamlens.probes.sockets import Address, Socket
from beamlens_actors.testing import FakeClock

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux")


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def connect(held, listener):
    client = held.enter_context(socket.create_connection(listener.getsockname()[:2]))
    server = held.enter_context(listener.accept()[0])
    return client, server


def test_a_socket_that_the_peer_closed_is_forgotten_only_after_some_seconds(clock, held):
    watch = Watch()
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    client, server = connect(held, listener)
    client.close()
    assert watch.sense()["close_wait_stale"] == 0
    clock.advance(STALE + 0.1)
    assert watch.sense()["close_wait_stale"] == 1
    assert watch.forgotten == {server.fileno()}
    server.close()
    assert watch.sense()["close_wait_stale"] == 0


def test_a_socket_of_another_process_is_not_ours(clock, held):
    watch = Watch()
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    client, server = connect(held, listener)
    program = "import sys; print('ready', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, pass_fds=[server.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeps_the_other_end:
        keeps_the_other_end.stdout.readline()
        server.close()
        client.close()
        watch.sense()
        clock.advance(STALE + 0.1)
        closing = len(sockets.read("CLOSE_WAIT").sockets)
        stale = watch.sense()["close_wait_stale"]
        keeps_the_other_end.communicate()
    assert (stale, closing >= 1) == (0, True)


def test_a_backlog_that_fills_is_told_and_its_end_too(clock, held):
    watch = Watch()
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4))
    assert watch.sense()["listen_backlog_pct"] == 0.0
    for _ in range(4):
        held.enter_context(socket.create_connection(listener.getsockname()))
    assert watch.sense()["listen_backlog_pct"] == 100.0
    listener.close()
    clock.advance(10)
    assert watch.sense()["listen_backlog_pct"] == 0.0


def test_overflows_are_a_rate_and_only_told_to_who_listens(clock, held, monkeypatch):
    counts = iter([100, 100, 130, 10])
    monkeypatch.setattr(network, "read", lambda: Counters(next(counts), 0, 0, 0, 1000))
    watch = Watch()
    assert watch.sense()["listen_overflows_per_s"] == 0.0
    held.enter_context(socket.create_server(("127.0.0.1", 0)))
    clock.advance(10)
    assert watch.sense()["listen_overflows_per_s"] == 0.0
    clock.advance(10)
    assert watch.sense()["listen_overflows_per_s"] == 3.0
    clock.advance(10)
    assert watch.sense()["listen_overflows_per_s"] == 0.0


def only_to(listener, monkeypatch):
    """Leave out what other processes have open, for the namespace is everybody's."""
    real, peer = network.busiest, Address(*listener.getsockname())
    monkeypatch.setattr(network, "busiest", lambda *rows: [one for one in real(*rows) if one.peer == peer])


def test_local_ports_used_up_by_one_peer_are_counted(clock, held, monkeypatch):
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    for _ in range(15):
        connect(held, listener)
    monkeypatch.setattr(network, "read", lambda: Counters(0, 0, 0, 31, 20))
    only_to(listener, monkeypatch)
    watch = Watch()
    assert watch.sense()["ephemeral_used_pct"] == 75.0
    (busiest, *_rest) = watch.destinations()
    assert busiest.peer == Address(*listener.getsockname())
    assert busiest.states == {"ESTABLISHED": 15}


def test_few_connections_are_not_counted_one_by_one(clock, monkeypatch):
    monkeypatch.setattr(network, "read", lambda: Counters(0, 0, 3, 2, 1000))
    watch = Watch()
    assert watch.sense()["ephemeral_used_pct"] == 0.5
    monkeypatch.setattr(network, "read", lambda: Counters(None, None, None, None, None))
    assert watch.sense()["ephemeral_used_pct"] is None


def test_queues_come_from_a_table_that_was_just_read(clock, held):
    watch = Watch()
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    client, _server = connect(held, listener)
    client.sendall(b"x" * 5_000)
    assert watch.sense()["receive_queue_mb"] >= 0.005
    assert "receive_queue_mb" not in watch.sense()
    clock.advance(60)
    assert watch.sense()["receive_queue_mb"] >= 0.005


def test_the_past_is_bounded_and_sampled_every_five_seconds(clock):
    watch = Watch()
    for _ in range(8):
        watch.sense()
        clock.advance(2.5)
    assert [sample.count is not None for sample in watch.history(60)] == [True] * 4
    assert len(watch.history(0.1)) == 1


def test_work_goes_on_at_most_for_two_percent_of_the_time(clock, monkeypatch):
    paced = Paced(5.0)
    assert paced.due()
    monkeypatch.setattr("beamlens.domains.ports.watch.time.monotonic", lambda: 3.0)
    paced.ended(began=1.0)
    clock.advance(99.9)
    assert not paced.due()
    clock.advance(0.2)
    assert paced.due()


def test_deleted_files_are_counted_once_and_nameless_ones_never(tmp_path, held):
    path = tmp_path / "app.log"
    first = held.enter_context(path.open("wb"))
    held.enter_context(path.open("rb"))
    first.write(b"x" * 1_000_000)
    first.flush()
    os.fsync(first.fileno())
    before = table.read().deleted_bytes()
    path.unlink()
    assert table.read().deleted_bytes() - before >= 1_000_000
    assert len([entry for entry, _size in table.read().deleted_files() if str(path) in entry.target]) == 1
    assert not table.Entry(3, "file", "/tmp/#123 (deleted)").deleted
    assert not table.Entry(3, "memfd", "/memfd:x (deleted)").deleted


def test_a_namespaces_counters_are_read(tmp_path):
    net = tmp_path / "self/net"
    net.mkdir(parents=True)
    (net / "netstat").write_text("TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 7 9\nIpExt: X\nIpExt: 1\n")
    (net / "sockstat").write_text("sockets: used 5\nTCP: inuse 3 orphan 0 tw 21 alloc 4 mem 1\n")
    folder = tmp_path / "sys/net/ipv4"
    folder.mkdir(parents=True)
    (folder / "ip_local_port_range").write_text("32768\t60999\n")
    assert network.read(tmp_path) == Counters(7, 9, 21, 3, 28_232)
    assert network.read(tmp_path / "nowhere") == Counters(None, None, None, None, None)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from(["ESTABLISHED", "TIME_WAIT"]))))
def test_destinations_add_up(connections):
    rows = [
        Socket("tcp", state, Address(f"10.0.0.{local}", 40_000 + n), Address(f"10.1.0.{remote}", 443), 0, 0, 0)
        for n, (local, remote, state) in enumerate(connections)
    ]
    found = network.busiest(rows)
    assert sum(one.count for one in found) == len(rows)
    assert [one.count for one in found] == sorted((one.count for one in found), reverse=True)
    assert network.busiest(rows, frozenset(row.local.port for row in rows)) == []


@given(
    slope=st.floats(0.1, 50),
    noise=st.lists(st.floats(-1, 1), min_size=8, max_size=200),
)
def test_a_steady_slope_is_found_through_noise(slope, noise):
    samples = [(5.0 * n, 100 + slope * n * 5 + 0.05 * slope * wobble) for n, wobble in enumerate(noise)]
    found = trend(samples)
    assert found.steady
    assert math.isclose(found.per_minute, 60 * slope, rel_tol=0.1)


@given(st.lists(st.floats(0, 1000), max_size=300))
def test_any_past_gives_a_trend_or_none(values):
    found = trend([(5.0 * n, value) for n, value in enumerate(values)])
    assert (found is None) == (len(values) < 4)
    assert found is None or math.isfinite(found.per_minute)


def feed(detector, values):
    return [detector.update(float(second), value) for second, value in enumerate(values)]


def test_growth_far_from_the_limit_is_left_to_the_runtime_domain(monkeypatch):
    monkeypatch.setattr("beamlens.domains.ports.declared.descriptor_limit", lambda: 100_000.0)
    assert not any(reading.active for reading in feed(NearLimit(), range(20, 140, 5)))


def test_growth_that_reaches_the_limit_soon_is_told_with_the_time_left(monkeypatch):
    monkeypatch.setattr("beamlens.domains.ports.declared.descriptor_limit", lambda: 400.0)
    last = feed(NearLimit(), range(20, 140, 5))[-1]
    assert last.active
    assert last.severity == "critical"
    assert last.data["seconds_to_limit"] == pytest.approx((400 - 135) / 5)
    assert not any(reading.active for reading in feed(NearLimit(), [390.0] * 40))
