from __future__ import annotations

import os

import pytest

from beamlens import Beamlens, ConfigError, control
from tests.support.hosts import Host, eventually


@pytest.fixture(autouse=True)
def runtime(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))


def reached(pid):
    (one,) = eventually(lambda: [found for found in control.find(pid) if found.connection is not None])
    one.connection.close()
    return one.name


BARE = """
lens = Beamlens.start(watchers=["logger"], operators=[], control=True, after_fork=sys.argv[1])
child = os.fork()
if child == 0:
    sys.stdin.read()
    before = lens.running
    lens.stop()
    print("child", before, lens.forked, lens.status().watchers == (), flush=True)
    os._exit(0)
print(child, flush=True)
"""


def test_in_a_child_of_its_own_it_stays_stopped_by_default():
    with Host(BARE, "auto") as host:
        (child,) = host.said
        (found,) = control.find()
        found.connection.close()
        assert found.pid == host.pid
        host.process.stdin.close()
        assert host.process.stdout.readline() == "child False False True\n"
        assert int(child) != host.pid


def test_it_is_started_anew_in_every_child_if_told_so():
    with Host(BARE, "restart") as host:
        assert reached(int(host.said[0])) == "beamlens"
        host.process.stdin.close()
        assert host.process.stdout.readline() == "child True True True\n"


DAEMON = """
lens = Beamlens.start(watchers=["logger"], operators=[], control=True, after_fork="restart")
if os.fork() == 0:
    child = os.fork()
    if child == 0:
        sys.stdin.read()
        lens.stop()
        os._exit(0)
    print(child, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_daemon_that_is_forked_twice_at_once_is_watched():
    with Host(DAEMON) as host:
        assert reached(int(host.said[0])) == "beamlens"


POOL = """
import multiprocessing
lens = Beamlens.start(watchers=["logger", "runtime"], operators=[], control=True, after_fork=sys.argv[1])
ends = multiprocessing.get_context("fork").Event()
def work():
    ends.wait()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
print(child.pid, flush=True)
"""
JOINED = """
sys.stdin.readline()
ends.set()
child.join()
print("joined", child.exitcode, os.listdir(os.environ["XDG_RUNTIME_DIR"] + "/beamlens"), flush=True)
"""


def test_a_process_of_multiprocessing_is_watched_and_leaves_nothing():
    with Host(POOL + 'print("ready", flush=True)\n' + JOINED, "auto") as host:
        child = int(host.said[0])
        assert reached(child) == "beamlens"
        with control.connect(child) as remote:
            assert remote.facts()["forked"] is True
            assert remote.facts()["parent"] == host.pid
            assert {one["name"] for one in remote.status()["watchers"]} == {"logger", "runtime"}
        host.process.stdin.write("\n")
        host.process.stdin.flush()
        assert host.process.stdout.readline() == f"joined 0 ['{host.pid}-beamlens.sock']\n"


def test_told_to_stop_it_is_not_watched():
    with Host(POOL + 'print("ready", flush=True)\n' + JOINED, "stop") as host:
        host.process.stdin.write("\n")
        host.process.stdin.flush()
        assert host.process.stdout.readline() == f"joined 0 ['{host.pid}-beamlens.sock']\n"


OWN = """
import multiprocessing
class Own(__import__("beamlens").Domain):
    '''A domain of one's own.'''
    name = "own"
    def snapshot(self):
        return {"pid": os.getpid()}
made = Own()
lens = Beamlens.start(watchers=iter([made, "exception"]), operators=iter(["ets"]), control=True)
started = multiprocessing.get_context("fork").Event()
def work():
    while not lens.list_operators():
        time.sleep(0.02)
    print(lens.domain("own") is made, lens.domain("own").snapshot() == {"pid": os.getpid()},
          [one.name for one in lens.list_operators()], flush=True)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


def test_what_was_given_is_given_again():
    with Host(OWN) as host:
        assert host.said == ["True True ['ets']"]


SAME_NAME = """
import multiprocessing
lens = Beamlens.start(watchers=["logger"], operators=[])
def work():
    mine = Beamlens.start(watchers=["exception"], operators=[])
    time.sleep(1.0)
    print(mine.running, [one.name for one in mine.list_watchers()], flush=True)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


def test_an_instance_that_the_worker_starts_itself_comes_first():
    with Host(SAME_NAME) as host:
        assert host.said == ["True ['exception']"]


@pytest.mark.parametrize("value", ["never", None, True])
def test_another_choice_is_refused_with_the_choices(value):
    with pytest.raises(ConfigError, match=r"after_fork .* does not exist; the choices are: auto, restart, stop"):
        Beamlens.start(after_fork=value)


def test_where_the_system_gives_no_thread_the_child_goes_on_unwatched(monkeypatch, caplog):
    from beamlens.application import forks

    def refuse(_fn, _name):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(forks, "spawn", refuse)
    forks.restart_soon(os.getpid, os.getpid)
    assert caplog.messages == ["this forked process is not watched: can't start new thread"]
