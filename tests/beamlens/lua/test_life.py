"""The worker process: when it starts, how it ends, and what it leaves behind."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from beamlens.lua import LuaError, Sandbox, interpreter, process
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock


def worker_pid(sandbox):
    return sandbox._slot._worker.pid


def is_gone(pid):
    """Gone, not a zombie either."""
    return not Path(f"/proc/{pid}").exists()


def descriptors():
    with os.scandir("/proc/self/fd") as entries:
        own = [entry.path for entry in entries]
    return sorted(os.readlink(path) for path in own if Path(path).is_symlink())


class Gate:
    """A function for Lua that says when it is in, and waits until it is let go."""

    def __init__(self):
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.let_go.wait(20)
        return 1


class Running:
    """A run on a thread of its own."""

    def __init__(self, sandbox, code, abort=None):
        self.outcome = None
        self._thread = threading.Thread(target=self._run, args=(sandbox, code, abort))
        self._thread.start()

    def _run(self, sandbox, code, abort):
        try:
            self.outcome = sandbox.run(code, abort=abort)
        except (LuaError, Aborted) as error:
            self.outcome = error

    def result(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.outcome


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.let_go.set()


def test_nothing_starts_before_the_first_run():
    sandbox = Sandbox()
    assert sandbox._slot._worker is None
    sandbox.close()


def test_the_worker_is_used_again():
    with Sandbox() as sandbox:
        sandbox.run("return 1")
        pid = worker_pid(sandbox)
        with pytest.raises(LuaError):
            sandbox.run("error('no')")
        sandbox.run("return 1")
        assert worker_pid(sandbox) == pid


def test_the_worker_has_no_environment_no_descriptor_of_ours_and_a_session_of_its_own():
    with open("/dev/null", "rb") as file, Sandbox() as sandbox:
        os.set_inheritable(file.fileno(), True)
        sandbox.run("return 1")
        pid = worker_pid(sandbox)
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert sorted(link.partition(":")[0] for link in links) == ["/dev/null"] * 3 + ["pipe"] * 2
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_the_worker_can_open_nothing_and_has_bounds():
    with Sandbox(memory_mb=16) as sandbox:
        sandbox.run("return 1")
        rows = Path(f"/proc/{worker_pid(sandbox)}/limits").read_text().splitlines()
    soft = {row[:26].strip(): row[26:].split()[0] for row in rows[1:]}
    assert {soft[name] for name in ("Max open files", "Max processes", "Max file size", "Max core file size")} == {"0"}
    assert int(soft["Max address space"]) < 500_000_000
    assert int(soft["Max cpu time"]) < 20


def test_killed_from_outside_is_an_error_and_the_next_run_has_another_worker():
    entered, release = threading.Event(), threading.Event()

    def wait():
        entered.set()
        assert release.wait(20)

    with Sandbox({"wait": wait}) as sandbox:
        running = Running(sandbox, "wait() while true do end")
        assert entered.wait(20)
        pid = worker_pid(sandbox)
        os.kill(pid, signal.SIGKILL)
        release.set()
        error = running.result()
        assert (error.kind, error.message) == ("runtime", "the sandbox process ended: it was killed (SIGKILL)")
        assert is_gone(pid)
        assert sandbox.run("return 2") == 2


def test_killed_between_runs_is_not_noticed():
    with Sandbox() as sandbox:
        sandbox.run("return 1")
        pid = worker_pid(sandbox)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert sandbox.run("return 2") == 2
        assert is_gone(pid)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGABRT, "memory"), (signal.SIGXCPU, "timeout")])
def test_how_it_was_ended_says_what_went_wrong(number, kind):
    with Sandbox({"hit": lambda: os.kill(worker_pid(sandbox), number)}) as sandbox:
        with pytest.raises(LuaError) as caught:
            sandbox.run("hit() while true do end")
        assert caught.value.kind == kind


@pytest.mark.parametrize("code", ["while true do end", "return ('a'):rep(60000):find(('.-'):rep(5) .. 'b')"])
def test_abort_ends_a_run_at_once(code):
    abort = AbortSignal()
    with Sandbox({"started": abort.abort}, timeout=60.0) as sandbox:
        with pytest.raises(Aborted):
            sandbox.run("started() " + code, abort=abort)
        assert sandbox.run("return 3") == 3


def test_abort_before_the_run_starts_nothing():
    abort = AbortSignal()
    abort.abort("why")
    with Sandbox() as sandbox:
        with pytest.raises(Aborted, match="why"):
            sandbox.run("return 1", abort=abort)
        assert sandbox._slot._worker is None


def test_an_abort_after_the_run_leaves_the_next_run_alone():
    abort = AbortSignal()
    with Sandbox() as sandbox:
        sandbox.run("return 1", abort=abort)
        pid = worker_pid(sandbox)
        abort.abort()
        assert sandbox.run("return 2") == 2
        assert worker_pid(sandbox) == pid


def test_abort_ends_the_wait_for_the_turn(gate):
    abort = AbortSignal()
    with Sandbox({"gate": gate}, timeout=20.0) as sandbox:
        first = Running(sandbox, "return gate()")
        assert gate.entered.wait(20)
        second = Running(sandbox, "return 2", abort)
        abort.abort()
        assert isinstance(second.result(), Aborted)
        gate.let_go.set()
        assert first.result() == 1


def test_runs_of_several_threads_queue():
    with Sandbox({"echo": lambda value: value}) as sandbox:
        runs = [Running(sandbox, f"return echo({number})") for number in range(8)]
        assert [run.result() for run in runs] == list(range(8))


def test_waiting_for_the_turn_ends_at_the_deadline(gate):
    with Sandbox({"gate": gate}, timeout=0.4) as sandbox:
        first = Running(sandbox, "return gate()")
        assert gate.entered.wait(20)
        second = Running(sandbox, "return 2")
        assert (second.result().kind, "other runs" in second.outcome.message) == ("timeout", True)
        gate.let_go.set()
        assert first.result().kind == "timeout"


def test_a_slow_function_is_blamed_for_the_time_it_took(gate):
    def slow():
        with pytest.raises(LuaError):  # takes longer than the outer run has
            Sandbox(timeout=0.5).run("while true do end")

    with Sandbox({"slow": slow}, timeout=0.3) as sandbox, pytest.raises(LuaError, match=r"slow\(\) took") as caught:
        sandbox.run("slow() return 1")
    assert caught.value.kind == "timeout"
    gc.collect()


def test_a_function_cannot_run_code_in_its_own_sandbox():
    caught = []

    def again():
        with pytest.raises(LuaError, match="may not run code in it") as error:
            sandbox.run("return 1")
        caught.append(error.value.kind)

    with Sandbox({"again": again}) as sandbox:
        sandbox.run("again()")
    assert caught == ["runtime"]


def test_functions_run_on_the_callers_thread():
    threads = []
    with Sandbox({"note": lambda: threads.append(threading.get_ident())}) as sandbox:
        sandbox.run("note()")
    assert threads == [threading.get_ident()]


def test_an_exit_in_a_function_passes_through_and_the_sandbox_lives():
    def leave():
        raise KeyboardInterrupt

    with Sandbox({"leave": leave}) as sandbox:
        with pytest.raises(KeyboardInterrupt):
            sandbox.run("pcall(leave) return 1")
        assert sandbox.run("return 1") == 1


def test_close_ends_the_worker_leaves_nothing_and_may_be_repeated():
    before = descriptors()
    sandbox = Sandbox()
    sandbox.run("return 1")
    pid = worker_pid(sandbox)
    sandbox.close()
    sandbox.close()
    assert is_gone(pid)
    assert descriptors() == before
    assert sandbox.run("return 2") == 2
    sandbox.close()


def test_close_ends_a_run_in_progress_and_those_that_wait_without_waiting_for_them(gate):
    sandbox = Sandbox({"gate": gate}, timeout=20.0)
    running = Running(sandbox, "return gate()")
    assert gate.entered.wait(20)
    pid = worker_pid(sandbox)
    sandbox.close()
    assert not gate.let_go.is_set()
    gate.let_go.set()
    assert "closed" in running.result().message
    assert is_gone(pid)


def test_many_failures_leave_no_descriptor_and_no_process():
    with Sandbox(timeout=10.0) as sandbox:
        sandbox.run("return 1")
        before = descriptors()
        pids = []
        for _ in range(5):
            pids.append(worker_pid(sandbox))
            os.kill(pids[-1], signal.SIGKILL)
            os.waitid(os.P_PID, pids[-1], os.WEXITED | os.WNOWAIT)
            sandbox.run("return 1")
        assert len(descriptors()) == len(before)
    assert all(map(is_gone, pids))


def test_a_sandbox_that_nobody_closed_takes_its_worker_along():
    sandbox = Sandbox()
    sandbox.run("return 1")
    pid = worker_pid(sandbox)
    del sandbox
    gc.collect()
    assert is_gone(pid)


def test_an_idle_worker_ends_by_itself():
    with FakeClock() as clock:
        sandbox = Sandbox(idle_timeout=60.0)
        sandbox.run("return 1")
        pid = worker_pid(sandbox)
        clock.advance(59)
        sandbox.run("return 1")
        clock.advance(59)
        assert not is_gone(pid)
        clock.advance(1)
        assert is_gone(pid)
        assert sandbox.run("return 2") == 2
        sandbox.close()


def test_a_worker_in_use_is_not_idle(gate):
    with FakeClock() as clock:
        sandbox = Sandbox({"gate": gate}, idle_timeout=60.0)
        sandbox.run("return 1")
        running = Running(sandbox, "return gate()")
        assert gate.entered.wait(20)
        clock.advance(100)
        gate.let_go.set()
        assert running.result() == 1
        pid = worker_pid(sandbox)
        clock.advance(60)
        assert is_gone(pid)
        sandbox.close()


def in_child(check):
    """What `check()` returns in a forked child, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(check()).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    return text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_worker_of_its_own_and_leaves_the_parents_alone():
    with Sandbox() as sandbox:
        sandbox.run("return 1")
        pid = worker_pid(sandbox)

        def check():
            value = sandbox.run("return 7")
            own = worker_pid(sandbox) != pid
            sandbox.close()
            return value, own

        assert in_child(check) == "(7, True)"
        assert sandbox.run("return 8") == 8
        assert worker_pid(sandbox) == pid


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_during_another_threads_run_is_free(gate):
    with Sandbox({"gate": gate}, timeout=20.0) as sandbox:
        running = Running(sandbox, "return gate()")
        assert gate.entered.wait(20)

        def check():
            value = sandbox.run("return 7")
            sandbox.close()
            return value

        assert in_child(check) == "7"
        gate.let_go.set()
        assert running.result() == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_function_that_forks_gives_the_child_nothing_of_the_run():
    sandbox = Sandbox({"fork": os.fork}, timeout=20.0)
    read, write = os.pipe()
    parent = os.getpid()
    try:
        value = sandbox.run("return fork()")
    except LuaError as error:
        if os.getpid() != parent:
            os.write(write, error.kind.encode())
        value = None
    if os.getpid() != parent:
        os._exit(0)
    os.close(write)
    os.waitpid(value, 0)
    with open(read, "rb") as file:
        assert file.read() == b"runtime"
    assert sandbox.run("return 1") == 1
    sandbox.close()


def test_a_worker_whose_host_dies_ends_by_itself_also_in_a_loop():
    code = """
        import os, sys
        from beamlens.lua import Sandbox
        sandbox = None
        def ready():
            print(sandbox._slot._worker.pid, flush=True)
            sys.stdin.read(1)
            os.kill(os.getpid(), 9)
        sandbox = Sandbox({"ready": ready}, timeout=1.5)
        sandbox.run("ready() while true do end")
    """
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with host:
        pid = int(host.stdout.readline())
        waiting = os.pidfd_open(pid)
        host.stdin.write(b"x")
        host.stdin.flush()
        host.wait(20)
        poller = select.poll()
        poller.register(waiting, select.POLLIN)
        assert poller.poll(20_000)
        os.close(waiting)


@pytest.mark.parametrize("ending", ["", "sandbox.run('return 1')", "import gc; gc.collect()"])
def test_a_host_that_exits_without_closing_ends_quietly(ending):
    code = f"from beamlens.lua import Sandbox\nsandbox = Sandbox()\nprint(sandbox.run('return 1'))\n{ending}"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")


def test_signals_that_the_host_ignores_or_blocks_end_the_worker_all_the_same():
    previous = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    try:
        with Sandbox({"hit": lambda: os.kill(worker_pid(sandbox), signal.SIGALRM)}) as sandbox:
            with pytest.raises(LuaError) as caught:
                sandbox.run("hit() while true do end")
            assert caught.value.kind == "timeout"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        signal.signal(signal.SIGALRM, previous)


def test_a_program_that_embeds_python_uses_the_interpreter_beside_it(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    assert Path(interpreter.find_interpreter()).name.startswith("python")
    with Sandbox() as sandbox:
        assert sandbox.run("return 1") == 1


@pytest.mark.parametrize("executable", ["", "/usr/sbin/uwsgi", "/nowhere/python3"])
def test_without_an_interpreter_the_error_says_so(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "_base_executable", executable)
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    with Sandbox() as sandbox, pytest.raises(LuaError, match="needs a Python interpreter") as caught:
        sandbox.run("return 1")
    assert caught.value.kind == "runtime"


def test_a_worker_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(process, "library_folders", lambda: ["/nowhere"])
    with Sandbox() as sandbox:
        with pytest.raises(LuaError, match="did not start: ModuleNotFoundError: No module named 'lupa'"):
            sandbox.run("return 1")
        monkeypatch.undo()
        assert sandbox.run("return 1") == 1


def test_another_program_in_the_workers_place_is_refused(monkeypatch):
    monkeypatch.setattr(process, "find_interpreter", lambda: "/bin/echo")
    with Sandbox() as sandbox, pytest.raises(LuaError, match="did not start"):
        sandbox.run("return 1")


TAKEN_OVER = """
import os, sys
sys.path += sys.argv[3:]
import msgpack
def send(message):
    body = msgpack.packb(message)
    data = len(body).to_bytes(4, "big") + body
    while data:
        data = data[os.write(1, data):]
send({{"ready": 1}})
os.read(0, 1 << 16)
send({message})
os.read(0, 1 << 16)
"""


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("{'error': [1], 'message': 'x'}", "x"),
        ("{'error': {}, 'message': None, 'line': 'x'}", "None"),
        ("{'error': 'runtime', 'message': 'attempt to compare ' * 190_000}", "attempt to compare"),
        ("{'error': 'x', 'message': [[[[]]]], 'line': True}", "[[[[]]]]"),
        ("{'ok': msgpack.ExtType(5, b'x')}", "no JSON value"),
        ("{'call': ['echo'], 'args': []}", "process ended"),
        ("{'call': 'other', 'args': []}", "process ended"),
        ("{'call': 'echo', 'args': 1}", "process ended"),
        ("{(): 1}", "process ended"),
        ("{}", None),
    ],
)
def test_whatever_a_worker_that_was_taken_over_says_is_a_value_or_a_lua_error(monkeypatch, tmp_path, message, outcome):
    script = tmp_path / "launch.py"
    script.write_text(TAKEN_OVER.format(message=message))
    monkeypatch.setattr(process, "_LAUNCH", script)
    with Sandbox({"echo": lambda *values: list(values)}, timeout=20.0) as sandbox:
        if outcome is None:
            assert sandbox.run("return 1") is None
            return
        with pytest.raises(LuaError) as caught:
            sandbox.run("return 1")
        assert outcome in caught.value.message
        assert len(caught.value.message) <= 2200
        assert caught.value.line in (None, 1)
        monkeypatch.undo()
        sandbox.close()
        assert sandbox.run("return 1") == 1
