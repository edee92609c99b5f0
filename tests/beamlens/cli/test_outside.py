"""The commands that ask a process from outside, against real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from beamlens.cli.text import as_json, dollars, duration, line, lines
from tests.support.hosts import CONTROLLED, Host, command

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u2066[bold red]x[/]\r\n\tz"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x7f\\u202e\\u2066[bold red]x[/]\\r\\n\\tz"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    folder = tempfile.mkdtemp(prefix="bl")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield
    shutil.rmtree(folder)


HOSTILE = """
import logging
from beamlens import Alert, Domain, Insight, Metric, Snapshot
from beamlens_actors import Actor
from beamlens_supervision import ChildSpec
EVIL = sys.argv[1]

class Kept(Actor):
    pass

class Hostile(Domain):
    '''A domain with names from outside.'''
    name = "hostile" + EVIL
    metrics = (Metric("depth", unit="x", high=10, critical=100),)
    def children(self):
        return [ChildSpec("store" + EVIL, Kept.options(name=EVIL).start)]
    def snapshot(self):
        try:
            raise ValueError(EVIL)
        except ValueError as error:
            return {"depth": 5000, EVIL: str(error), "thread": threading.current_thread().name, "odd": object()}

made = Hostile()
lens = Beamlens.start(watchers=[made, "exception", "logger"], operators=[made], control=True, name="host" + EVIL)

def fail():
    logging.getLogger(EVIL).error("log %s", EVIL)
    raise RuntimeError(EVIL)

threading.excepthook = lambda *_shown: None
thread = threading.Thread(target=fail, name=EVIL)
thread.start()
thread.join()
alert = Alert(watcher="logger" + EVIL, anomaly_type=EVIL, severity="critical", context=EVIL, observation="saw " + EVIL,
              snapshots=(Snapshot(data={}),), node=EVIL, instance=lens.name, trace_id="0" * 32)
lens._parts.inbox.offer(alert)
place = {"file": "/srv/" + EVIL, "line": 5, "function": EVIL}
lens._parts.insights.add(Insight(alert_ids=(alert.id,), correlation_type="causal", summary="because " + EVIL,
    confidence="high", trace_id="0" * 32, root_cause_hypothesis=EVIL,
    cause={"kind": EVIL, "text": EVIL, "place": place}))
"""


@pytest.fixture(scope="module")
def hostile():
    folder = tempfile.mkdtemp(prefix="bl")
    with Host(HOSTILE, EVIL, XDG_RUNTIME_DIR=folder) as host:
        host.folder = folder
        yield host
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "words",
    [
        ("ps",),
        ("tree",),
        ("status",),
        ("report",),
        ("top",),
        ("ask", "why?", "--timeout", "60"),
        ("status", "--instance", EVIL),
        ("status", EVIL),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_text_of_the_host_cannot_drive_the_terminal(hostile, words, form):
    done = command(*words, *form, XDG_RUNTIME_DIR=hostile.folder)
    assert UNSAFE.findall(done.stdout) == []
    if EVIL not in words:
        assert done.returncode == 0
        shown = json.dumps(EVIL)[1:-1].replace("\x7f", "\\u007f") if form else SHOWN
        assert shown in done.stdout
        # Nothing that the host says begins a line of its own.
        assert "\nz" not in done.stdout
    else:
        assert done.returncode == 2
    assert UNSAFE.findall(done.stderr.replace(EVIL, "")) == []


def test_markup_is_shown_and_not_obeyed_and_no_color_is_honoured(hostile):
    done = command("report", XDG_RUNTIME_DIR=hostile.folder, NO_COLOR="1", FORCE_COLOR="1", TERM="xterm-256color")
    assert "[bold red]x[/]" in done.stdout


def test_ps_lists_what_can_be_asked():
    with Host(CONTROLLED, "serve") as host:
        shown = command("ps").stdout.splitlines()
        (row,) = [json.loads(one) for one in command("ps", "--json").stdout.splitlines()]
    assert shown[0].split() == ["PID", "INSTANCE", "STATE", "ALERTS", "INSIGHTS", "UP", "COMMAND"]
    assert shown[1].split()[:5] == [str(host.pid), "beamlens", "healthy", "0", "0"]
    assert (row["pid"], row["watchers"], row["command"][-1]) == (host.pid, ["logger"], "serve")


def test_ps_without_anything_says_how_to_get_something():
    done = command("ps")
    assert (done.returncode, done.stdout) == (0, "")
    assert "start one with Beamlens.start(control=True) or under `beamlens run`" in done.stderr


def test_ps_names_a_process_that_does_not_answer():
    with Host() as host:
        os.kill(host.pid, 19)  # SIGSTOP
        try:
            shown = command("ps").stdout.splitlines()
        finally:
            os.kill(host.pid, 18)
    assert shown[1].startswith(f"{host.pid}")
    assert "does not answer: it is stopped, or something keeps its interpreter to itself" in shown[1]


def test_ps_removes_what_a_killed_process_left():
    folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "beamlens")
    with Host() as host:
        host.kill()
        assert os.listdir(folder) == [f"{host.pid}-beamlens.sock"]
        assert command("ps").stdout == ""
        assert os.listdir(folder) == []


def test_the_tree_is_that_of_the_process():
    with Host() as host:
        done = command("tree", str(host.pid))
        found = json.loads(command("tree", str(host.pid), "--json").stdout)
    assert done.stdout.startswith(
        "Beamlens.Supervisor (supervisor, running)\n├── TaskSupervisor (supervisor, running)\n"
    )
    assert done.stdout.endswith("└── ControlServer (worker, running)\n")
    assert found["children"][-1]["id"] == "ControlServer"


def test_status_and_report_and_top_need_no_pid_when_there_is_one_process():
    with Host() as host:
        said = command("status").stdout
        found = json.loads(command("status", "--json").stdout)
        report = command("report").stdout
        top = command("top").stdout
        whole = json.loads(command("top", "--json").stdout)
    assert said.startswith(f"beamlens in process {host.pid}: healthy, up ")
    assert "\n  logger         healthy" in said
    assert found["watchers"][0]["name"] == "logger"
    assert report.startswith("Beamlens report: healthy\n  watched logger for ")
    assert "found:\n  nothing yet\nsupervision tree:\n  Beamlens.Supervisor" in top
    assert set(whole) == {"facts", "status", "tree", "alerts", "insights", "usage"}


def test_a_question_is_answered_offline_with_the_facts():
    with Host() as host:
        done = command("ask", str(host.pid), "why", "is memory growing?")
        found = json.loads(command("ask", "why?", "--json").stdout)
    assert done.returncode == 0
    assert done.stderr == f"asking process {host.pid} ...\n"
    assert done.stdout.endswith("analyst: offline, $0.00\n")
    assert set(found) == {"answer", "insights", "findings", "model", "cost", "stopped_by"}
    assert (found["model"], found["cost"]) == ("offline", 0.0)


TWO = """
Beamlens.start(watchers=["logger"], operators=[], control=True, name="one")
Beamlens.start(watchers=["exception"], operators=[], control=True, name="two")
"""


def test_of_several_instances_in_a_process_one_is_chosen_by_name():
    with Host(TWO) as host:
        done = command("status", str(host.pid))
        assert done.returncode == 2
        assert f"process {host.pid} has several instances: 'one', 'two'; choose one by its name" in done.stderr
        assert command("status", str(host.pid), "--instance", "two").stdout.startswith("two in process")
        wrong = command("status", str(host.pid), "--instance", "three")
        assert wrong.returncode == 2
        assert f"process {host.pid} has no instance named 'three'; reachable: 'one', 'two'" in wrong.stderr


def test_of_several_processes_one_is_to_be_chosen():
    with Host() as first, Host() as second:
        done = command("report")
    assert (done.returncode, done.stdout) == (2, "")
    pids = sorted((first.pid, second.pid))
    assert f"several processes can be asked: {pids[0]} ('beamlens'), {pids[1]} ('beamlens')" in done.stderr


def gone():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return str(ended.pid)


@pytest.mark.parametrize("name", ["tree", "status", "report", "top", "ask"])
def test_what_cannot_be_asked_is_told_with_exit_code_2(name):
    question = ("why?",) if name == "ask" else ()
    pid = gone()
    done = command(name, pid, *question)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no process {pid}" in done.stderr
    done = command(name, str(os.getpid()), *question)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"process {os.getpid()} has no control socket; start it with" in done.stderr
    done = command(name, *question)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has a control socket" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "beamlens"), "'beamlens' is not a valid integer"),
        (("ask", "123"), "give a question: beamlens ask PID"),
        (("ask",), "Missing argument"),
        (("ask", "--timeout", "0", "x"), "0.0 is not in the range"),
        (("top", "--interval", "0"), "0.0 is not in the range"),
    ],
)
def test_a_mistake_is_named_with_exit_code_2(words, said):
    done = command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_process_that_hangs_is_told_with_exit_code_1():
    with Host() as host:
        os.kill(host.pid, 19)
        try:
            done = command("status", str(host.pid))
        finally:
            os.kill(host.pid, 18)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


def test_a_line_has_no_control_characters_and_one_line():
    assert line(EVIL) == SHOWN
    assert lines({EVIL: [EVIL, 1, None, {"a": EVIL}]}) == {SHOWN: [SHOWN, 1, None, {"a": SHOWN}]}
    assert json.loads(as_json({EVIL: EVIL})) == {EVIL: EVIL}
    assert UNSAFE.findall(as_json(EVIL)) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (190, "3m10s"), (18_120, "5h02m"), (1_051_200, "12d04h"), (-1, "0s")],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0.0, "$0.00"), (0.0123, "$0.0123"), (12.345, "$12.35"), (None, "unknown cost")]
)
def test_dollars_are_said_as_people_do(amount, text):
    assert dollars(amount) == text
