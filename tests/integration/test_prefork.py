"""Real pre-forking servers under `beamlens run`: each worker is watched, answers, and ends as without."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest

from beamlens import control, status
from tests.support.hosts import command, eventually

WSGI = """
import os, threading, time
HELD = []
def leak():
    for _ in range(400):
        HELD.append(bytearray(300_000))
        time.sleep(0.05)
def app(environ, start_response):
    if environ["PATH_INFO"] == "/leak":
        threading.Thread(target=leak, daemon=True).start()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

TASKS = """
import os
from celery import Celery
folder = os.environ["QUEUE"]
app = Celery("tasks", broker="filesystem://", backend="file://" + folder)
app.conf.broker_transport_options = {
    "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "/control"
}
@app.task
def who():
    return os.getpid()
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "q").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QUEUE", str(tmp_path / "q"))
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "tasks.py").write_text(TASKS)


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*words):
        errors = (tmp_path / "errors.txt").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "beamlens", "run", "--watchers", "runtime,logger", "--", *words],
            cwd=tmp_path,
            stdout=errors,
            stderr=errors,
        )
        started.append((process, errors))
        return process

    yield start
    for process, errors in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait(20)
        errors.close()


def watched():
    """Pids of the processes that can be asked."""
    found = control.find()
    for one in found:
        if one.connection is not None:
            one.connection.close()
    return sorted(one.pid for one in found if one.connection is not None)


def workers(process, count):
    pids = eventually(lambda: len(all_of := watched()) == count + 1 and all_of, 60)
    assert process.pid in pids
    return [pid for pid in pids if pid != process.pid]


def said(tmp_path):
    return (tmp_path / "errors.txt").read_text()


def test_each_worker_of_gunicorn_is_watched_answers_and_ends_in_order(run, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = run("gunicorn", "shop:app", "-w", "2", "-b", f"127.0.0.1:{port}", "--no-control-socket")
    pids = workers(process, 2)
    for pid in pids:
        with control.connect(pid) as remote:
            assert remote.registry.lookup("runtime").ask(status, timeout=20.0).kind == "watcher"
            assert remote.facts()["parent"] == process.pid
    served = int(urllib.request.urlopen(f"http://127.0.0.1:{port}/leak", timeout=20).read())
    assert served in pids
    with control.connect(served) as remote:
        (insight,) = eventually(remote.insights, 90)
    assert (insight.cause.kind, insight.cause.place.line) == ("memory_leak", 6)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert f"beamlens: worker {served}: alert [" in said(tmp_path)
    assert f"beamlens: worker {served} ends:\nBeamlens report: trouble was found\n" in said(tmp_path)
    assert said(tmp_path).count(" ends:") == 1
    assert os.listdir(tmp_path / "r" / "beamlens") == []


def test_a_worker_of_gunicorn_that_is_killed_is_replaced_by_one_that_is_watched(run):
    process = run("gunicorn", "shop:app", "-w", "1", "-b", "127.0.0.1:0", "--no-control-socket")
    (first,) = workers(process, 1)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in watched(), 60)
    (second,) = workers(process, 1)
    assert second != first
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_worker_whose_threads_are_greenlets_is_left_alone_and_says_so(run, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = run("gunicorn", "shop:app", "-k", "gevent", "-w", "1", "-b", f"127.0.0.1:{port}", "--no-control-socket")
    eventually(lambda: "this worker is not watched: gevent has put its own threads in place" in said(tmp_path), 60)
    assert watched() == [process.pid]
    assert int(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read()) != process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_each_child_of_celerys_prefork_pool_is_watched_and_does_its_tasks(run, tmp_path, monkeypatch):
    process = run("celery", "-A", "tasks", "worker", "--pool", "prefork", "-c", "2", "--loglevel", "WARNING")
    pids = workers(process, 2)
    monkeypatch.chdir(tmp_path)
    code = "from tasks import who; print(who.delay().get(timeout=60))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=90)
    assert int(done.stdout) in pids
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert os.listdir(tmp_path / "r" / "beamlens") == []


def test_a_celery_worker_without_a_pool_is_watched(run, tmp_path):
    process = run("celery", "-A", "tasks", "worker", "--pool", "solo", "--loglevel", "WARNING")
    assert workers(process, 0) == []
    rows = [json.loads(row) for row in command("ps", "--json").stdout.splitlines()]
    assert [(row["pid"], row["instance"], row["forked"]) for row in rows] == [(process.pid, "beamlens-run", False)]
    eventually(lambda: "celery@" in said(tmp_path), 60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Beamlens report" in said(tmp_path)
