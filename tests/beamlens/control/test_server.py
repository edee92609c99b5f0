from __future__ import annotations

import os
import resource
import socket
import threading

import pytest

from beamlens.control import (
    AccessRefused,
    Busy,
    ConnectionLost,
    ProtocolError,
    RemoteError,
    VersionMismatch,
    answering,
    peer,
    protocol,
    server,
)
from beamlens.control.address import Address, Listener
from beamlens.control.client import Connection
from beamlens.control.frames import FrameReader, frame
from beamlens.control.server import Server
from beamlens_actors import AskTimeout
from tests.support.hosts import eventually


class Serving:
    def __init__(self, **handlers):
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.failures = []
        handlers = {"echo": lambda given, _terms: dict(given), "hold": self._hold, **handlers}
        self.listener = Listener.open("x")
        self.server = Server(self.listener, handlers, {"pid": os.getpid(), "instance": "x"}, self.failures.append)
        self.server.start()
        self.address = Address(self.listener.path, os.getpid())

    def _hold(self, _given, _terms):
        self.entered.release()
        self.release.wait(30)
        return "held"

    def connect(self):
        return Connection(self.address)

    def raw(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.listener.path))
        return sock


@pytest.fixture
def serving():
    made = []

    def make(**handlers):
        made.append(Serving(**handlers))
        return made[-1]

    yield make
    for one in made:
        one.release.set()
        one.server.stop(20)
        assert one.failures == []
        assert not one.listener.path.exists()
    for thread in threading.enumerate():
        if thread.name.startswith("beamlens-control"):
            thread.join(20)
            assert not thread.is_alive()


def messages(sock, count):
    reader, found = FrameReader(protocol.MOST_ANSWER), []
    while len(found) < count:
        data = sock.recv(65_536)
        if not data:
            break
        reader.feed(data)
        while (message := reader.take()) is not None:
            found.append(message)
    return found


def is_served(one):
    connection = one.connect()
    answer = connection.ask("echo", still="here")
    connection.close()
    return answer == {"still": "here"}


def test_questions_are_answered_in_order_on_one_connection(serving):
    connection = serving().connect()
    assert [connection.ask("echo", n=n) for n in range(20)] == [{"n": n} for n in range(20)]
    connection.close()


def test_a_peer_that_speaks_another_version_is_told_both(serving):
    one = serving()
    with one.raw() as sock:
        sock.sendall(frame({"beamlens": "9.9.9", "protocol": 99}, 1000))
        _hello, refusal = messages(sock, 2)
        assert refusal["error"]["type"] == "VersionMismatch"
        assert "version 99 of the control protocol (Beamlens 9.9.9)" in refusal["error"]["message"]
        assert f"version {protocol.VERSION} (Beamlens {protocol.package_version()})" in refusal["error"]["message"]
        assert sock.recv(1) == b""
    assert is_served(one)


def test_a_server_that_speaks_another_version_is_refused_with_both(serving, monkeypatch):
    one = serving()
    monkeypatch.setattr(protocol, "VERSION", 7)
    with pytest.raises(VersionMismatch, match=r"speaks version 1 of .*version 7 "):
        one.connect()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 1000,
        b"\0\0\0\x05hello",
        frame({"hello": "you"}, 1000),
        frame(protocol.hello(), 1000) + frame({"id": "one", "ask": 2}, 1000),
        frame(protocol.hello(), 1000) + frame({"id": 1, "ask": "echo", "timeout": -1}, 1000),
        frame(protocol.hello(), 1000) + b"\0\x10\0\0",
    ],
)
def test_garbage_costs_its_sender_the_connection_and_nobody_else(serving, garbage):
    one = serving()
    with one.raw() as sock:
        sock.sendall(garbage)
        assert messages(sock, 2)[-1]["error"]["type"] == "ProtocolError"
        assert sock.recv(1) == b""
    assert is_served(one)


def test_a_silent_peer_is_given_up(serving, monkeypatch):
    monkeypatch.setattr(peer, "GREETING_SECONDS", 0.05)
    one = serving()
    with one.raw() as sock:
        assert [list(message) for message in messages(sock, 9)] == [["beamlens", "protocol", "pid", "instance"]]
    assert is_served(one)


def test_a_peer_that_sends_byte_after_byte_is_given_up(serving, monkeypatch):
    monkeypatch.setattr(peer, "TRANSFER_SECONDS", 0.3)
    one = serving()
    with one.raw() as sock:
        sock.sendall(frame(protocol.hello(), 1000))
        drip = iter(frame({"id": 1, "ask": "echo", "with": {"a": "x" * 60_000}}, 64_000))

        def is_closed():
            try:
                sock.sendall(bytes([next(drip)]))
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        eventually(is_closed)
    assert is_served(one)


def test_a_peer_that_does_not_read_is_given_up_and_holds_up_nobody(serving, monkeypatch):
    monkeypatch.setattr(peer, "TRANSFER_SECONDS", 0.3)
    one = serving(large=lambda _given, _terms: "x" * 3_000_000)
    with one.raw() as sock:
        sock.sendall(frame(protocol.hello(), 1000) + frame({"id": 1, "ask": "large"}, 1000))
        assert is_served(one)
        eventually(lambda: not one.server._peers)
        # What was sent before it was given up is here; the rest never comes.
        assert len(messages(sock, 2)) == 1


def test_more_peers_than_allowed_are_told_to_try_again(serving, monkeypatch):
    monkeypatch.setattr(server, "MOST_PEERS", 2)
    one = serving()
    held = [one.connect() for _ in range(2)]
    with pytest.raises(Busy, match="talks to 2 others already"):
        one.connect()
    for connection in held:
        connection.close()
    eventually(lambda: not one.server._peers)
    assert is_served(one)


def test_more_questions_than_allowed_are_told_to_try_again(serving, monkeypatch):
    monkeypatch.setattr(answering, "MOST_QUESTIONS", 1)
    one = serving()
    first, second = one.connect(), one.connect()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(first.ask("hold")))
    asking.start()
    assert one.entered.acquire(timeout=20)
    with pytest.raises(Busy, match="answers as many as it can"):
        second.ask("echo")
    one.release.set()
    asking.join(20)
    assert answers == ["held"]
    assert second.ask("echo", n=1) == {"n": 1}
    first.close()
    second.close()


def test_long_questions_leave_room_for_short_ones(serving, monkeypatch):
    monkeypatch.setattr(answering, "MOST_QUESTIONS", 1)
    monkeypatch.setattr(answering, "MOST_LONG_QUESTIONS", 1)
    one = serving(ask=lambda given, terms: one._hold(given, terms))
    first = one.connect()
    asking = threading.Thread(target=first.ask, args=("ask",))
    asking.start()
    assert one.entered.acquire(timeout=20)
    assert is_served(one)
    one.release.set()
    asking.join(20)
    first.close()


def test_a_question_that_takes_too_long_is_answered_so_and_its_late_answer_dropped(serving):
    one = serving()
    connection = one.connect()
    with pytest.raises(AskTimeout, match=r"did not answer 'hold' within 0\.1 s"):
        connection.ask("hold", 0.1)
    one.release.set()
    assert connection.ask("echo", n=1) == {"n": 1}
    connection.close()


@pytest.mark.parametrize("leaves", [True, False])
def test_a_question_that_nobody_waits_for_is_aborted(serving, leaves):
    aborted, one = threading.Event(), None

    def look(_given, terms):
        terms.abort.on_abort(aborted.set)
        one.entered.release()
        return terms.abort.wait(30)

    one = serving(look=look)
    with one.raw() as sock:
        question = {"id": 1, "ask": "look", "timeout": 30.0 if leaves else 0.1}
        sock.sendall(frame(protocol.hello(), 1000) + frame(question, 1000))
        assert one.entered.acquire(timeout=20)
        if leaves:
            sock.close()
        assert aborted.wait(20)
    assert is_served(one)


def test_what_a_handler_raises_is_told_and_the_connection_lives(serving):
    def fail(_given, _terms):
        raise ZeroDivisionError("no")

    def leave(_given, _terms):
        raise SystemExit

    connection = serving(fail=fail, leave=leave).connect()
    with pytest.raises(RemoteError, match="ZeroDivisionError: no"):
        connection.ask("fail")
    with pytest.raises(RemoteError, match="SystemExit"):
        connection.ask("leave")
    assert connection.ask("echo", n=1) == {"n": 1}
    connection.close()


def test_an_answer_that_is_too_large_is_told(serving):
    connection = serving(large=lambda _given, _terms: "x" * protocol.MOST_ANSWER).connect()
    with pytest.raises(ProtocolError, match="too large"):
        connection.ask("large")
    assert connection.ask("echo", n=1) == {"n": 1}
    connection.close()


def test_a_question_that_is_too_large_is_not_sent(serving):
    connection = serving().connect()
    with pytest.raises(ProtocolError, match="too large; at most 64000"):
        connection.ask("echo", text="x" * 70_000)
    assert connection.ask("echo", n=1) == {"n": 1}
    connection.close()


def test_a_process_that_can_start_no_thread_says_so(serving, monkeypatch):
    def refuse(_fn, _name):
        raise RuntimeError("can't start new thread")

    connection = serving().connect()
    with monkeypatch.context() as patch:
        patch.setattr(answering, "spawn", refuse)
        with pytest.raises(Busy, match="can start no thread: can't start new thread"):
            connection.ask("echo")
    assert connection.ask("echo", n=1) == {"n": 1}
    connection.close()


def test_an_unknown_question_is_answered_with_those_there_are(serving):
    connection = serving().connect()
    with pytest.raises(ProtocolError, match="nothing answers 'nope'; there is: echo, hold"):
        connection.ask("nope")
    connection.close()


def test_another_user_is_refused(serving, monkeypatch):
    monkeypatch.setattr(server, "peer_uid", lambda _sock: 12345)
    with pytest.raises(AccessRefused, match=f"belongs to user {os.geteuid()}, not to 12345"):
        serving().connect()


def test_root_is_let_in(serving, monkeypatch):
    monkeypatch.setattr(server, "peer_uid", lambda _sock: 0)
    assert is_served(serving())


def test_a_socket_that_another_user_serves_is_not_trusted(serving, monkeypatch):
    monkeypatch.setattr("beamlens.control.client.peer_uid", lambda _sock: 12345)
    with pytest.raises(AccessRefused, match="served by user 12345"):
        serving().connect()


def test_an_idle_connection_that_was_given_up_is_opened_again(serving, monkeypatch):
    monkeypatch.setattr(peer, "IDLE_SECONDS", 0.05)
    one = serving()
    connection = one.connect()
    assert connection.ask("echo", n=1) == {"n": 1}
    eventually(lambda: not one.server._peers)
    assert connection.ask("echo", n=2) == {"n": 2}
    connection.close()


def test_after_the_end_a_question_says_that_the_process_has_ended(serving):
    one = serving()
    connection = one.connect()
    one.server.stop(20)
    with pytest.raises(Exception, match=f"process {os.getpid()} has ended, or closed its control socket"):
        connection.ask("echo")


def test_a_process_that_does_not_answer_is_told_from_one_that_ended():
    listener = Listener.open("x")  # nobody accepts
    with pytest.raises(ConnectionLost, match="does not answer: it is stopped, or something keeps its interpreter"):
        Connection(Address(listener.path, os.getpid()), timeout=0.1)
    listener.close()


def test_it_can_be_asked_when_no_descriptor_is_left(serving):
    one = serving()
    asker = socket.socket(socket.AF_UNIX)
    asker.settimeout(20)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    used = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[-1] + 1, hard))
        while True:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        asker.connect(str(one.listener.path))
        asker.sendall(frame(protocol.hello(), 1000) + frame({"id": 1, "ask": "echo", "with": {"n": 1}}, 1000))
        answers = messages(asker, 2)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        asker.close()
    assert answers[1] == {"id": 1, "answer": {"n": 1}}
    assert is_served(one)


def test_a_server_whose_thread_fails_says_so(monkeypatch):
    told, done = [], threading.Event()
    listener = Listener.open("x")
    broken = Server(listener, {}, {}, lambda error: (told.append(error), done.set()))
    monkeypatch.setattr(broken, "_patience", lambda: 1 / 0)
    broken.start()
    assert done.wait(20)
    assert [type(error) for error in told] == [ZeroDivisionError]
    broken._thread.join(20)
    assert not listener.path.exists()
