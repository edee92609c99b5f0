from __future__ import annotations

import io
import os
import select
import socket
import subprocess
import sys
import textwrap
from contextlib import ExitStack

import pytest

from beamlens.probes import descriptors, process

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux")


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def opened(held, number):
    held.callback(os.close, number)
    return number


def test_each_kind_of_descriptor_is_told(held, tmp_path):
    left, right = socket.socketpair()
    held.enter_context(left)
    held.enter_context(right)
    kinds = {
        left.fileno(): "socket",
        opened(held, os.eventfd(0)): "eventfd",
        opened(held, os.memfd_create("scratch")): "memfd",
        held.enter_context(select.epoll()).fileno(): "epoll",
        held.enter_context((tmp_path / "a file").open("w")).fileno(): "file",
        opened(held, os.pidfd_open(os.getpid())): "pidfd",
    }
    for end in os.pipe():
        kinds[opened(held, end)] = "pipe"
    found = descriptors.scan()
    assert found.complete
    told = {number: descriptors.kind_of(found.targets[number]) for number in kinds}
    # Some kernels show a descriptor of a process as a file system of its own.
    assert {n: k for n, k in told.items() if kinds[n] != "pidfd"} == {n: k for n, k in kinds.items() if k != "pidfd"}
    assert set(kinds.values()) <= set(descriptors.KINDS)


def test_a_number_far_above_the_others_is_found(held):
    number = opened(held, os.dup2(0, 4_321))
    assert descriptors.scan().targets[number] == os.readlink(f"/proc/self/fd/{number}")


def test_a_scan_finds_what_is_open(held):
    for _ in range(300):
        opened(held, os.open(os.devnull, os.O_RDONLY))
    assert len(descriptors.scan().targets) == process.descriptors()


def test_a_scan_that_takes_too_long_tells_what_it_has():
    found = descriptors.scan(-1.0)
    assert (found.targets, found.complete) == ({}, False)


def test_without_the_c_library_the_same_is_told(monkeypatch):
    plain = descriptors.scan().targets
    monkeypatch.setattr(descriptors, "_c_readlink", lambda: None)
    assert descriptors.scan().targets == plain


def test_a_system_without_the_folder_tells_nothing(monkeypatch):
    monkeypatch.setattr(descriptors, "_FOLDER", "/nowhere")
    found = descriptors.scan()
    assert (found.targets, found.complete) == ({}, False)


def test_a_process_without_a_descriptor_left_can_still_be_read():
    program = """
        import os, resource
        from beamlens.probes import descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        print(set(held) <= set(descriptors.scan().targets), len(held) > 30)
    """
    code = textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True True"


def test_a_number_that_is_used_again_has_another_identity(tmp_path):
    first = os.open(tmp_path / "first", os.O_CREAT)
    before = descriptors.identity(first)
    os.close(first)
    second = os.open(tmp_path / "second", os.O_CREAT)
    try:
        assert second == first
        assert descriptors.identity(second) != before
    finally:
        os.close(second)
    assert descriptors.identity(second) is None


@pytest.mark.parametrize(
    ("target", "inode"),
    [
        ("socket:[12]", 12),
        ("pipe:[7]", 7),
        ("/tmp/socket:[12]", None),
        ("anon_inode:[eventfd]", None),
        ("socket:", None),
    ],
)
def test_the_inode_is_told_of_sockets_and_pipes(target, inode):
    assert descriptors.inode_of(target) == inode


def test_an_object_of_the_hosts_is_never_asked_for_its_class_or_attributes(tmp_path):
    touched = []

    class Lazy:
        def __getattribute__(self, name):
            touched.append(name)
            raise RuntimeError("not configured")

    class Holder:
        def __init__(self, *held):
            self.held = held

    class Log(io.TextIOWrapper):
        @property
        def buffer(self):
            touched.append("buffer")
            raise RuntimeError

    with (tmp_path / "log").open("wb") as raw:
        log = Log(raw)
        assert descriptors.descriptors_of([Lazy(), Holder(Lazy(), log)]) == [raw.fileno()]
        log.detach()
    assert touched == []
