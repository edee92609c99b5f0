"""What a worker's process cannot do, tried from inside by Python: as if code had got out of Lua."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from beamlens.lua import Sandbox
from beamlens.lua.worker import syscalls

filtered = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="no filter for this machine"
)

TRY = """
    import ctypes, errno, mmap, os, resource, signal, socket, subprocess, sys
    from beamlens.lua.worker.confinement import confine
    from beamlens.lua.worker.syscalls import filter_calls
    libc = ctypes.CDLL(None, use_errno=True)
    {preparation}
    try:
        {attempt}
    except OSError as error:
        os.write(1, errno.errorcode[error.errno].encode())
    else:
        os.write(1, b"done")
    os._exit(0)
"""
FILTER, LIMITS = "assert filter_calls()", "confine(64)"


def attempt(code, preparation):
    script = textwrap.dedent(TRY).format(attempt=code, preparation=preparation)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    return done.stdout.decode() or f"{done.returncode} {done.stderr.decode()[-300:]}"


ATTEMPTS = {
    "read a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "write a file": "os.open('/tmp/x', os.O_WRONLY | os.O_CREAT)",
    "remove a file": "os.unlink('/tmp/does-not-exist')",
    "list a folder": "os.listdir('/')",
    "open a socket": "socket.socket()",
    "fork": "os.fork()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "signal its parent": "os.kill(os.getppid(), signal.SIGURG)",
    "signal itself through kill": "os.kill(os.getpid(), signal.SIGURG)",
    "change its parent's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)",
    "wait for a descriptor": "__import__('select').epoll()",
    "copy memory that can be executed": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "change its user": "os.setuid(0)",
}


@filtered
@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_filter_refuses_to(name):
    assert attempt(ATTEMPTS[name], FILTER) == "EPERM"


@filtered
@pytest.mark.parametrize(
    "code", ["mmap.mmap(-1, 4096)", "os.getpid()", "os.write(1, b'')", "bytearray(50_000_000)", "os.urandom(8)"]
)
def test_the_filter_lets_pass(code):
    assert attempt(code, FILTER) == "done"


@filtered
def test_the_filter_lets_a_process_abort_itself():
    assert attempt("libc.abort()", FILTER).startswith("-6")


@pytest.mark.parametrize("name", ["read a file", "write a file", "list a folder", "open a socket"])
def test_limits_alone_refuse_to(name):
    assert attempt(ATTEMPTS[name], LIMITS) in ("EMFILE", "ENFILE")


@filtered
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair()",
        "given.connect(('127.0.0.1', 9))",
        "given.sendto(b'x', ('127.0.0.1', 9))",
        "given.accept()",
    ],
)
def test_there_is_no_network(code):
    assert attempt(code, f"given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); {FILTER}") == "EPERM"


def test_a_socket_that_may_be_inherited_is_not(monkeypatch):
    monkeypatch.setenv("BEAMLENS_SECRET", "secret text")
    with socket.create_server(("127.0.0.1", 0)) as server, Sandbox() as sandbox:
        server.set_inheritable(True)
        sandbox.run("return 1")
        process = Path(f"/proc/{sandbox._slot._worker.pid}")
        links = [os.readlink(link) for link in (process / "fd").iterdir()]
        assert [link for link in links if link.startswith("socket:")] == []
        assert (process / "environ").read_bytes() == b""


@filtered
def test_the_worker_has_the_filter():
    with Sandbox() as sandbox:
        sandbox.run("return 1")
        status = Path(f"/proc/{sandbox._slot._worker.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_without_a_filter_there_is_a_sandbox_all_the_same(monkeypatch):
    monkeypatch.setattr(syscalls.os, "uname", lambda: platform.uname()._replace(machine="z80"), raising=False)
    assert syscalls.filter_calls() is False
    monkeypatch.setattr(syscalls, "ctypes", None)
    assert syscalls.filter_calls() is False
