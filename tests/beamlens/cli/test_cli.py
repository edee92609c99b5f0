from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from beamlens.cli.text import safe


def beamlens(*arguments, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-m", "beamlens", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


def program(tmp_path, source, name="program.py"):
    path = tmp_path / name
    path.write_text(source)
    return str(path)


def test_version_prints_one_line_or_json():
    assert beamlens("version").stdout.startswith("beamlens ")
    assert set(json.loads(beamlens("version", "--json").stdout)) == {"beamlens", "python"}


def test_version_loads_no_engine():
    code = (
        "import sys; from beamlens.cli import main; main(['version'], standalone_mode=False); "
        "print([m for m in ('anthropic', 'gevent', 'lupa', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "--fault", "nope"), "the faults are: cache-leak, descriptor-leak"),
        (("demo", "--fault", "gil-hog", "--no-fault"), "exclude each other"),
        (("demo", "--seed", "-1"), "-1 is not in the range"),
        (("run",), "give a program"),
        (("run", "--", "/no/such.py"), "there is no file '/no/such.py'"),
        (("run", "-m"), "-m needs the name of a module"),
        (
            ("run", "--watchers", "nope", "--", __file__),
            "the domains are: ",
        ),
        (("run", "--report", "/no/such/folder/x", "--", __file__), "there is no folder for the report"),
        (("nope",), "No such command"),
    ],
)
def test_a_mistake_is_named_with_the_choices_and_exits_with_2(arguments, words):
    done = beamlens(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_the_faults_are_listed_with_their_kinds():
    rows = [json.loads(line) for line in beamlens("demo", "--list", "--json").stdout.splitlines()]
    assert {row["kind"] for row in rows} == {
        "memory_leak",
        "descriptor_leak",
        "failing_dependency",
        "gil_hog",
        "thread_pile_up",
    }


ECHO = """
import sys
print(sys.argv[1:], __name__, sys.path[0])
print("to stderr", file=sys.stderr)
"""


def test_a_program_gets_its_arguments_and_keeps_its_output(tmp_path):
    path = program(tmp_path, ECHO)
    done = beamlens("run", "--", path, "--report", "x", "-m")
    assert done.stdout == f"['--report', 'x', '-m'] __main__ {tmp_path}\n"
    assert done.stderr.startswith("to stderr\nBeamlens report: healthy")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("import sys; sys.exit('no')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(9)", -signal.SIGINT),
        ("import os; os._exit(7)", 7),
    ],
)
def test_the_exit_code_and_signals_are_the_programs_own(tmp_path, source, code):
    path = program(tmp_path, source)
    plain = subprocess.run([sys.executable, path], capture_output=True, timeout=30, check=False)
    assert plain.returncode == code
    assert beamlens("run", "--", path).returncode == code


def test_a_traceback_is_the_programs_own(tmp_path):
    path = program(tmp_path, "def f():\n    1 / 0\nf()\n")
    plain = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=30, check=False)
    assert beamlens("run", "--", path).stderr.startswith(plain.stderr)


def test_a_module_runs_as_with_python_m(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "beamlens", "run", "-m", "json.tool", "--compact"],
        input='{"a": 1}',
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == '{"a":1}\n'


def test_the_report_goes_to_a_file_as_json(tmp_path):
    path = program(tmp_path, "print('done')")
    report = tmp_path / "report.json"
    done = beamlens("run", "--report", str(report), "--json", "--", path)
    assert json.loads(report.read_text())["healthy"] is True
    assert done.stderr == ""


def test_the_programs_threads_are_waited_for_before_the_report(tmp_path):
    source = "import threading\nthreading.Timer(0.3, lambda: print('last', flush=True)).start()\n"
    path = program(tmp_path, source)
    done = beamlens("run", "--", path)
    assert done.stdout == "last\n"
    assert "Beamlens report" in done.stderr


def test_a_thread_pool_that_the_program_left_open_ends_with_it(tmp_path):
    source = (
        "import atexit, concurrent.futures\n"
        "atexit.register(print, 'at exit', flush=True)\n"
        "pool = concurrent.futures.ThreadPoolExecutor(2)\n"
        "print(pool.submit(lambda: 5).result(), flush=True)\n"
    )
    done = beamlens("run", "--", program(tmp_path, source))
    assert done.stdout == "5\nat exit\n"
    assert "Beamlens report" in done.stderr


def test_disabled_the_program_runs_with_nothing_installed(tmp_path):
    path = program(tmp_path, "import logging; print(logging.Logger.callHandlers.__qualname__)")
    done = beamlens("run", "--", path, BEAMLENS_DISABLED="1")
    assert (done.stdout, done.stderr) == ("Logger.callHandlers\n", "")


def test_a_forked_child_makes_no_report(tmp_path):
    path = program(tmp_path, "import os, sys\npid = os.fork()\nif pid == 0:\n    sys.exit(0)\nos.waitpid(pid, 0)\n")
    assert beamlens("run", "--", path).stderr.count("Beamlens report") == 1


LEAK = """
import threading, time
HELD = []
for _ in range(400):
    HELD.append(bytearray(300_000))
    time.sleep(0.05)
"""


def test_a_leak_in_an_unchanged_program_is_named_with_its_line(tmp_path):
    path = program(tmp_path, LEAK)
    done = beamlens("run", "--json", "--report", str(tmp_path / "r"), "--", path)
    (insight,) = json.loads((tmp_path / "r").read_text())["insights"]
    assert (insight["cause"]["kind"], insight["confidence"]) == ("memory_leak", "high")
    assert insight["cause"]["place"]["file"] == path
    assert insight["cause"]["place"]["line"] == 5
    assert done.stderr.count("beamlens: alert [warning] runtime/memory_growth") == 1
    assert done.stderr.count("beamlens: insight [high confidence]") == 1


def test_ctrl_c_ends_the_demo_in_order_within_a_moment():
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "beamlens", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("watching a sample service")
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped after" in out
    assert "Traceback" not in err
    assert time.monotonic() - began < 10  # a second on a free machine


def test_sigterm_ends_the_demo_in_order_and_shells_can_tell():
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "beamlens", "demo", "--no-fault"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("watching a healthy sample service")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (128 + signal.SIGTERM, "")
    assert "stopped after" in out


def test_the_demo_ends_when_nobody_reads_it_any_more():
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "beamlens", "demo", "--fault", "failing-dependency"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")


def on_terminal(*arguments, rows, until=b"", then=b""):
    """Run the demo on a terminal; when `until` was shown, type `then`. Its exit code, all that was shown."""
    import fcntl
    import pty
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "beamlens", "demo", *arguments])
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # it has ended
            break
        if not part:
            break
        shown += part
        if then and until in shown:
            os.write(terminal, then)
            then = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


@pytest.mark.parametrize("rows", [pytest.param(24, id="a small terminal"), pytest.param(60, id="a large terminal")])
def test_the_demo_on_a_terminal_shows_tree_watchers_findings_and_the_cause(rows):
    code, text = on_terminal("--fault", "failing-dependency", rows=rows)
    assert code == 0
    words = ("Beamlens.Supervisor", "waiting, sensors awake", "descriptors ", "insight [high]", "cause (high ")
    assert [word for word in words if word not in text] == []
    # Which of the two watchers is the first to tell is left to chance; the insight needs one of them.
    if rows == 60:
        assert re.search(r"alert (logger/error_burst|exception/exception_burst)", text)


def test_ctrl_c_on_a_terminal_ends_the_demo_and_its_gateway_without_a_word_more():
    code, text = on_terminal("--no-fault", rows=24, until=b"waiting, sensors awake", then=b"\x03")
    assert code == 130
    assert "stopped after" in text
    assert "Traceback" not in text


def test_text_from_the_host_cannot_drive_the_terminal():
    assert safe("a\x1b[2Jb\nc\x07") == "a\\x1b[2Jb\nc\\x07"
