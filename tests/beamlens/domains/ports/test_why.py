"""Real trouble with descriptors and sockets: are peer, owner and line named?"""

from __future__ import annotations

import importlib.util
import socket
import sys
import textwrap
import threading
from contextlib import ExitStack

import pytest

from beamlens.detect import SensorState
from beamlens.domains import PortsDomain
from beamlens.domains.ports import network, why
from beamlens.domains.ports.network import Counters
from beamlens.domains.ports.watch import STALE
from beamlens.evidence import Strength
from beamlens_actors.testing import FakeClock

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux")

SLOW_ACCEPTOR = """
    import socket
    def handle(connection, stop):
        with connection:
            stop.wait()  # here
    def work(listener, stop):
        connection, _peer = listener.accept()
        handle(connection, stop)
"""
LEAK = """
    import socket
    POOL = []
    def work(listener, stop):
        for _ in range(6):
            POOL.append(socket.create_connection(listener.getsockname()))  # here
"""
LOG = """
    HELD = []
    def work(path, stop):
        HELD.append(open(path, "wb"))  # here
"""


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def load(tmp_path, held):
    def load(source):
        file = tmp_path / f"why_{tmp_path.name.replace('-', '_')}.py"
        file.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        held.callback(sys.modules.pop, file.stem)
        spec.loader.exec_module(module)
        line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text)
        return module, (str(file), line)

    return load


def sensor(name):
    return SensorState(name, name, name, "warning", "grows", 0.0, 0.0)


def place(evidence):
    return evidence.place.file, evidence.place.line


def test_sockets_that_the_server_closed_are_blamed_on_who_opened_them(load, held):
    module, here = load(LEAK)
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    domain = PortsDomain()
    with FakeClock() as clock:
        module.work(listener, None)
        for _ in module.POOL:
            listener.accept()[0].close()
        listener.close()
        domain.sense()
        clock.advance(STALE + 0.1)
        assert domain.sense()["close_wait_stale"] == 6
    try:
        (piece,) = domain.evidence(sensor("close_wait_growth"))
    finally:
        for one in module.POOL:
            one.close()
    assert place(piece) == here, piece.text
    assert piece.strength is Strength.CONCLUSIVE
    assert piece.data["peers"] == {f"127.0.0.1:{listener_port(piece)}": 6}
    assert f"peer: 127.0.0.1:{listener_port(piece)} (6)" in piece.text


def listener_port(piece):
    (peer,) = piece.data["peers"]
    return int(peer.rpartition(":")[2])


def test_sockets_that_were_closed_meanwhile_are_no_leak():
    (piece,) = PortsDomain().evidence(sensor("close_wait_many"))
    assert piece.strength is Strength.EXCLUDES


def test_a_full_accept_queue_is_blamed_on_where_the_acceptor_stands(load, held):
    module, here = load(SLOW_ACCEPTOR)
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2))
    stop = threading.Event()
    thread = threading.Thread(target=module.work, args=(listener, stop))
    thread.start()
    try:
        for _ in range(3):
            held.enter_context(socket.create_connection(listener.getsockname()))
        (piece,) = PortsDomain().evidence(sensor("listen_backlog_pct_threshold"))
    finally:
        stop.set()
        thread.join()
    assert place(piece) == here, piece.text
    assert piece.strength is Strength.CONCLUSIVE
    assert f"wait to be accepted at 127.0.0.1:{listener.getsockname()[1]}" in piece.text


def test_an_accept_queue_that_is_empty_again_is_excluded():
    (piece,) = PortsDomain().evidence(sensor("listen_overflows_per_s_threshold"))
    assert piece.strength is Strength.EXCLUDES


def test_used_up_local_ports_are_told_with_the_peer(held, monkeypatch):
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    for _ in range(12):
        held.enter_context(socket.create_connection(listener.getsockname()))
        held.enter_context(listener.accept()[0])
    monkeypatch.setattr(network, "read", lambda: Counters(0, 0, 0, 24, 16))
    monkeypatch.setattr(why.owners, "opening_line", lambda _kinds: None)
    # What other processes have open is left out: the namespace is everybody's.
    real, port = network.busiest, listener.getsockname()[1]
    monkeypatch.setattr(network, "busiest", lambda *rows: [one for one in real(*rows) if one.peer.port == port])
    domain = PortsDomain()
    assert domain.sense()["ephemeral_used_pct"] == 75.0
    (piece,) = domain.evidence(sensor("ephemeral_used_pct_threshold"))
    address = "{}:{}".format(*listener.getsockname())
    assert piece.text.startswith(f"12 of 16 local ports are used by connections from 127.0.0.1 to {address} ")
    assert piece.data["own"] == 12
    assert piece.cause == why.PORT_EXHAUSTION


@pytest.mark.parametrize(("name", "cause"), [("send_queue_growth", "peer"), ("receive_queue_growth", "program")])
def test_queues_are_told_with_peers(held, name, cause):
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = held.enter_context(socket.create_connection(listener.getsockname()))
    held.enter_context(listener.accept()[0])
    client.setblocking(False)
    sent = 0
    while True:
        try:
            sent += client.send(b"x" * 65_536)
        except BlockingIOError:
            break
    (piece,) = PortsDomain().evidence(sensor(name))
    assert piece.cause == f"{cause}_does_not_read"
    assert str(listener.getsockname()[1]) in piece.text
    assert 0 < piece.data["bytes"] <= sent


def test_deleted_files_are_told_with_their_names_and_the_line(load, tmp_path):
    module, here = load(LOG)
    path = tmp_path / "app.log"
    module.work(path, None)
    (file,) = module.HELD
    with file:
        file.write(b"x" * 100_000)
        file.flush()
        path.unlink()
        (piece,) = PortsDomain().evidence(sensor("deleted_files_growth"))
    assert place(piece) == here, piece.text
    assert str(path) in piece.text
    (gone,) = PortsDomain().evidence(sensor("deleted_files_growth"))
    assert gone.strength is Strength.EXCLUDES


def test_exhaustion_says_the_same_as_the_runtime_domain(monkeypatch):
    told = why.openers.Opened(["because"])
    monkeypatch.setattr(why.openers, "watch", lambda _since: told)
    assert PortsDomain().evidence(sensor("descriptor_exhaustion")) == ["because"]
