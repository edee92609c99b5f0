from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.probes import descriptors, sockets
from beamlens.probes.sockets import Address

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux")


def inode(one):
    return descriptors.inode_of(os.readlink(f"/proc/self/fd/{one.fileno()}"))


def told(one, **options):
    return next(row for row in sockets.read(**options).sockets if row.inode == inode(one))


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.create_server((request.param, 0), family=family, backlog=7) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        server, _ = listener.accept()
        with server:
            yield listener, client, server


def test_both_ends_of_a_connection_are_told_with_what_waits_in_their_buffers(connection):
    _listener, client, server = connection
    client.sendall(b"x" * 3_000)
    here, there = told(client), told(server)
    assert (here.state, there.state) == ("ESTABLISHED", "ESTABLISHED")
    assert here.local == there.remote == Address(*client.getsockname()[:2])
    assert here.remote == there.local == Address(*server.getsockname()[:2])
    assert (there.receive, there.send, here.receive) == (3_000, 0, 0)


def test_a_listening_socket_tells_its_backlog_and_who_waits(connection):
    listener, _client, _server = connection
    assert (told(listener).receive, told(listener).send) == (0, 7)
    with socket.create_connection(listener.getsockname()[:2]):
        assert told(listener).receive == 1


def test_a_socket_that_the_peer_closed_waits_for_us_to_close(connection):
    _listener, client, server = connection
    client.shutdown(socket.SHUT_WR)
    waiting = inode(server)
    assert [row.inode for row in sockets.read("CLOSE_WAIT").sockets if row.inode == waiting] == [waiting]
    assert all(row.state == "LISTEN" for row in sockets.read("LISTEN").sockets)


def test_the_files_tell_the_same_as_the_kernel(connection, monkeypatch):
    asked = [told(one) for one in connection]
    monkeypatch.setattr(sockets, "_ask_kernel", refuse)
    read = [told(one) for one in connection]
    assert read == [asked[0]._replace(send=-1), *asked[1:]]


def refuse(*_arguments):
    raise PermissionError("not here")
    yield


def test_where_nobody_tells_the_reason_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sockets, "_ask_kernel", refuse)
    listing = sockets.read(net=tmp_path)
    assert (listing.sockets, listing.complete) == ([], False)
    assert listing.failure.startswith("FileNotFoundError")


def test_a_kernel_that_refuses_the_question_is_not_asked_on():
    with pytest.raises(OSError, match="refused"):
        list(sockets._exchange(struct.pack("=IHHII", 16, sockets._BY_FAMILY, sockets._REQUEST | sockets._DUMP, 1, 0)))


def test_time_that_is_up_tells_what_was_read(connection):
    listing = sockets.read(seconds=-1.0)
    assert len(listing.sockets) == 1
    assert not listing.complete


def test_udp_sockets_are_told(connection):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        assert told(one, protocol="udp").local == Address(*one.getsockname())


def test_what_went_over_a_connection_is_told(connection):
    _listener, client, server = connection
    client.sendall(b"x" * 3_000)
    server.recv(3_000, socket.MSG_WAITALL)
    assert sockets.transfer(told(server)).received == 3_000
    assert sockets.transfer(told(server)).retransmits == 0


def test_a_connection_that_is_gone_has_nothing_to_tell(connection):
    _listener, client, _server = connection
    row = told(client)
    assert sockets.transfer(row._replace(local=Address(row.local.host, 1))) is None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("::1", 80), "[::1]:80"),
        (Address("10.0.0.5", 443), "10.0.0.5:443"),
        (Address("fe80::1", 0), "[fe80::1]:0"),
    ],
)
def test_addresses_are_written_as_people_write_them(address, text):
    assert str(address) == text


@given(host=st.ip_addresses(), port=st.integers(0, 65_535))
def test_the_kernels_words_are_read_back(host, port):
    words = struct.unpack(f"={len(host.packed) // 4}I", host.packed)
    text = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    assert sockets._hexadecimal(text) == Address(socket.inet_ntop(family, host.packed), port)


def test_lines_that_are_cut_off_are_left_out():
    lines = iter(["header", "0: 0100007F:1F90", ""])
    assert list(sockets._lines(lines, "tcp", set(sockets.STATES))) == []


def test_a_namespace_without_ipv6_is_read(tmp_path):
    (tmp_path / "tcp").write_text(Path("/proc/self/net/tcp").read_text())
    assert list(sockets._from_files("tcp", set(), tmp_path)) == []
