from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from beamlens import control, status
from tests.support.hosts import Host, eventually


def test_an_agent_of_another_process_answers():
    with Host() as host, control.connect(host.pid) as remote:
        ref = remote.registry.lookup("logger")
        assert ref.ask(status, timeout=10.0).kind == "watcher"
        assert remote.facts()["pid"] == host.pid


def test_the_only_process_needs_no_pid_and_of_several_one_is_to_be_chosen():
    with Host() as first:
        with control.connect() as remote:
            assert remote.pid == first.pid
        with Host() as second, pytest.raises(control.SeveralInstances) as error:
            control.connect()
    assert str(error.value) == (
        "several processes can be asked: "
        + ", ".join(f"{pid} ('beamlens')" for pid in sorted((first.pid, second.pid)))
        + "; give the PID of one"
    )


def test_a_process_that_was_killed_leaves_a_socket_which_the_next_look_removes(folder):
    with Host() as host:
        host.kill()
        assert len(os.listdir(folder)) == 1
        assert control.find() == []
        assert os.listdir(folder) == []


def test_a_new_process_removes_the_sockets_of_those_that_were_killed(folder):
    with Host() as dead:
        dead.kill()
        with Host() as living:
            eventually(lambda: os.listdir(folder) == [f"{living.pid}-beamlens.sock"])


def test_the_end_of_a_process_is_told_to_who_is_connected():
    with Host() as host, control.connect(host.pid) as remote:
        host.kill()
        with pytest.raises((control.ConnectionLost, control.NotServing), match=f"process {host.pid} has"):
            remote.facts()


def test_a_process_that_is_stopped_is_told_from_one_that_ended(monkeypatch):
    with Host() as host:
        os.kill(host.pid, signal.SIGSTOP)
        try:
            with pytest.raises(control.ConnectionLost, match=f"process {host.pid} does not answer: it is stopped"):
                control.connect(host.pid, timeout=0.3)
            (found,) = control.find(timeout=0.3)
            assert (found.pid, found.connection) == (host.pid, None)
        finally:
            os.kill(host.pid, signal.SIGCONT)
        with control.connect(host.pid) as remote:
            assert remote.pid == host.pid


@pytest.mark.parametrize("pid", [0, -1])
def test_a_pid_that_can_be_none_is_refused(pid):
    with pytest.raises(control.NoSuchProcess, match="a process id is above 0"):
        control.connect(pid)


def test_a_process_that_does_not_exist_is_told_with_the_choices():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with Host() as host, pytest.raises(control.NoSuchProcess) as error:
        control.connect(ended.pid)
    assert str(error.value) == f"there is no process {ended.pid}; reachable: {host.pid} ('beamlens')"


def test_a_process_without_a_socket_is_told_with_the_way_to_one():
    with pytest.raises(control.NotServing) as error:
        control.connect(os.getpid())
    assert str(error.value) == (
        f"process {os.getpid()} has no control socket; start it with Beamlens.start(control=True) or under "
        "`beamlens run`"
    )


FORKING = """
lens = Beamlens.start(watchers=["logger"], operators=[], control=True)
left, right = os.pipe()
child = os.fork()
if child == 0:
    os.close(left)
    sockets = []
    for name in os.listdir("/proc/self/fd"):
        try:
            sockets += [name] if "socket" in os.readlink(f"/proc/self/fd/{name}") else []
        except FileNotFoundError:
            pass
    os.write(right, repr((lens.running, sockets)).encode() + b"\\n")
    lens.stop()
    sys.exit()
os.close(right)
print(os.fdopen(left).readline(), end="", flush=True)
os.waitpid(child, 0)
"""


def test_a_forked_child_neither_serves_nor_removes_its_parents_socket():
    with Host(FORKING) as host:
        assert host.said == ["(False, [])"]
        with control.connect(host.pid) as remote:
            assert remote.registry.lookup("logger").is_alive()


OUTLIVED = """
lens = Beamlens.start(watchers=["logger"], operators=[], control=True)
begun, says = os.pipe()
child = os.fork()
if child == 0:
    os.write(says, b"!")
    sys.stdin.read()
    os._exit(0)
os.read(begun, 1)
print(child, flush=True)
"""


def test_a_child_that_outlives_its_parent_holds_nobody_who_asks_it(folder):
    with Host(OUTLIVED) as host:
        host.process.kill()
        host.process.wait()
        assert control.find() == []
        assert os.listdir(folder) == []


def test_the_socket_of_a_dead_process_that_a_new_child_still_holds_is_nobody(folder):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    place = folder / f"{int(ended.stdout)}-beamlens.sock"
    folder.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(place))
        held.listen()

        def close():
            connection, _ = held.accept()
            held.close()  # as the child does, once it runs
            connection.close()

        thread = threading.Thread(target=close)
        thread.start()
        assert control.find() == []
        thread.join()
    assert os.listdir(folder) == []


MOVING = """
lens = Beamlens.start(watchers=["logger"], operators=[], control=True)
os.chdir("/")
"""


def test_a_process_that_changes_its_folder_is_reached_and_leaves_nothing(folder):
    with Host(MOVING) as host, control.connect(host.pid) as remote:
        assert remote.facts()["folder"] == "/"
    assert os.listdir(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_reaches_another_users_process_and_the_other_user_not_roots(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    as_other = """
Beamlens.start(watchers=["logger"], operators=[], control=True).stop()  # what is imported meanwhile, root must read
os.setgid(54321); os.setuid(54321)
lens = Beamlens.start(watchers=["logger"], operators=[], control=True)
"""
    try:
        with Host(as_other) as host, control.connect(host.pid) as remote:
            assert remote.facts()["pid"] == host.pid
            assert os.stat("/tmp/beamlens-54321").st_uid == 54321
    finally:
        os.rmdir("/tmp/beamlens-54321")
    code = (
        "import os, sys; from beamlens import control; control.find(); os.setgid(54321); os.setuid(54321)\n"
        "try: control.connect(int(sys.argv[1]))\n"
        "except control.AccessRefused as error: print(error)\n"
    )
    with Host() as host:
        done = subprocess.run([sys.executable, "-c", code, str(host.pid)], capture_output=True, text=True, check=True)
    assert done.stdout == f"process {host.pid} belongs to user 0; ask as that user, or as root\n"


def test_many_who_ask_at_once_are_all_answered():
    with Host() as host:
        answers = []

        def ask():
            with control.connect(host.pid, timeout=30.0) as remote:
                answers.extend(remote.registry.lookup("logger").ask(status).name for _ in range(5))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == ["logger"] * 40
