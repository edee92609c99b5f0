from __future__ import annotations

import os
import threading

import pytest

from beamlens import Alert, Beamlens, BeamlensError, ConfigError, Insight, Snapshot, control, status
from beamlens.control.actor import ControlServer
from beamlens.control.address import own_folder
from beamlens_actors import ActorDead, ActorError, AskTimeout, Killed, living_actors
from tests.support.hosts import eventually

ALERT = Alert(
    watcher="logger",
    anomaly_type="log_error_burst",
    severity="critical",
    context="errors",
    observation="4 errors",
    snapshots=(Snapshot(data={"errors": 4}),),
    node="n",
    instance="beamlens",
    trace_id="0" * 32,
)
INSIGHT = Insight(
    alert_ids=(ALERT.id,), correlation_type="causal", summary="it broke", confidence="high", trace_id="0" * 32
)


@pytest.fixture
def lens():
    with Beamlens.start(watchers=["logger"], operators=["ets"], control=True) as started:
        yield started


@pytest.fixture
def remote(lens):
    with control.connect(os.getpid()) as found:
        yield found


def control_server():
    return next((ref for ref in living_actors() if ref.actor_class is ControlServer), None)


def test_a_watcher_answers_the_same_status_as_inside(lens, remote):
    eventually(lambda: lens.registry.lookup("logger").ask(status).runs == 1)
    inside = lens.registry.lookup("logger").ask(status)
    ref = remote.registry.lookup("logger")
    outside = ref.ask(status, timeout=5.0)
    assert type(outside) is type(inside)
    assert (outside.name, outside.kind, outside.runs) == ("logger", "watcher", 1)
    assert (ref.name, ref.is_alive()) == ("watcher:logger", True)


def test_an_operator_and_the_coordinator_are_found_too(remote):
    assert remote.registry.lookup("ets").ask(status).kind == "operator"
    assert remote.registry.lookup("coordinator").ask(status).kind == "coordinator"


def test_an_unknown_name_is_none(remote):
    assert remote.registry.lookup("nope") is None


@pytest.mark.parametrize("message", ["status", None, 1, object(), ALERT])
def test_another_message_is_refused_without_being_sent(remote, message):
    with pytest.raises(control.NotSendable, match="cannot be sent to another process; there is: status"):
        remote.registry.lookup("logger").ask(message)


def test_the_server_refuses_another_message_too(remote):
    ref = remote.registry.lookup("logger")
    with pytest.raises(control.NotSendable, match="'stop' cannot be sent from outside"):
        remote._connection.ask("tell", name="logger", urn=ref.actor_urn, message="stop")


def test_a_ref_of_an_agent_that_was_restarted_is_dead(lens, remote):
    ref = remote.registry.lookup("ets")
    inside = lens.registry.lookup("ets")
    inside.stop(reason=Killed())
    eventually(lambda: lens.registry.lookup("ets") not in (None, inside))
    with pytest.raises(ActorDead, match="the agent 'ets' that was looked up has ended"):
        ref.ask(status)
    assert not ref.is_alive()
    assert remote.registry.lookup("ets").is_alive()


def test_no_answer_in_time_is_an_ask_timeout(lens, remote, monkeypatch):
    ref = remote.registry.lookup("ets")

    def late(_self, message, *, block=True, timeout=None):
        raise AskTimeout(f"no answer in {timeout} s")

    monkeypatch.setattr(type(lens.registry.lookup("ets")), "ask", late)
    with pytest.raises(AskTimeout, match=r"no answer in 0\.5 s"):
        ref.ask(status, timeout=0.5)


def test_closing_does_not_wait_for_a_question_without_an_answer(lens, monkeypatch):
    asked, answer, ended = threading.Event(), threading.Event(), threading.Event()

    def never(_self, _message, *, block=True, timeout=None):
        asked.set()
        answer.wait(60)

    monkeypatch.setattr(type(lens.registry.lookup("ets")), "ask", never)

    def ask(remote):
        with pytest.raises(ActorError, match="has closed the connection"):
            remote.registry.lookup("ets").ask(status, timeout=25)
        ended.set()

    with control.connect(os.getpid()) as remote:
        thread = threading.Thread(target=ask, args=[remote])
        thread.start()
        assert asked.wait(10)
    assert ended.wait(10)
    answer.set()
    thread.join(10)


def test_after_the_end_a_ref_is_dead(lens, remote):
    ref = remote.registry.lookup("logger")
    lens.stop()
    with pytest.raises(ActorDead, match="has ended, or closed its control socket"):
        ref.ask(status)
    assert not ref.is_alive()


def test_alerts_and_insights_come_as_themselves(lens, remote):
    lens._parts.inbox.offer(ALERT)
    lens._parts.insights.add(INSIGHT)
    assert remote.alerts() == [ALERT]
    assert remote.insights() == [INSIGHT]


def test_what_is_served_is_what_the_instance_says(lens, remote):
    facts, seen = remote.facts(), remote.status()
    assert (facts["pid"], facts["instance"], facts["watchers"]) == (os.getpid(), "beamlens", ["logger"])
    assert [one["name"] for one in seen["watchers"]] == ["logger"]
    assert seen["inbox"] == lens.status().inbox._asdict()
    assert remote.usage() == lens.usage()
    assert remote.report()["watched"] == ["logger"]
    assert [child["id"] for child in remote.tree()["children"]][-1] == "ControlServer"
    assert set(remote.overview()) == {"facts", "status", "tree", "alerts", "insights", "usage"}


@pytest.mark.parametrize("question", ["", "   ", "x" * 20_000])
def test_a_question_that_is_none_is_refused(remote, question):
    with pytest.raises(control.ProtocolError, match="a question must be a text of at most 10000 characters"):
        remote.ask(question)


def test_without_control_there_is_no_socket_and_nothing_is_imported():
    with Beamlens.start(watchers=["logger"]) as lens:
        assert "ControlServer" not in lens.tree()
        with pytest.raises(control.NotServing, match=r"start it with Beamlens\.start\(control=True\)"):
            control.connect(os.getpid())


@pytest.mark.parametrize("value", [1, "yes", None])
def test_control_is_true_or_false(value):
    with pytest.raises(ConfigError, match="control must be True or False"):
        Beamlens.start(control=value)


def test_where_no_socket_can_be_made_the_instance_runs_and_says_so(caplog):
    own_folder().symlink_to("/")
    with Beamlens.start(watchers=["logger"], control=True) as lens:
        assert lens.running
        assert [one.name for one in lens.list_watchers()] == ["logger"]
        (record,) = (one for one in caplog.records if one.name == "beamlens")
        assert "cannot be asked from outside" in record.getMessage()
        assert "must be a folder for control sockets" in record.getMessage()


def test_a_server_whose_thread_fails_is_restarted(lens, monkeypatch):
    first = control_server()
    server = first._cell.actor._server if hasattr(first._cell, "actor") else None
    assert server is not None
    monkeypatch.setattr(server, "_patience", lambda: 1 / 0)
    server._wake()
    second = eventually(lambda: (ref := control_server()) is not first and ref)
    assert second is not first
    with control.connect(os.getpid()) as remote:
        assert remote.registry.lookup("logger").is_alive()


def test_an_instance_that_was_stopped_leaves_nothing(folder):
    with Beamlens.start(control=True):
        assert len(os.listdir(folder)) == 1
    assert os.listdir(folder) == []


def test_several_instances_of_a_process_are_told_apart_by_name():
    with Beamlens.start(name="one", control=True), Beamlens.start(name="two", control=True):
        with pytest.raises(control.SeveralInstances, match="several instances: 'one', 'two'; choose one by its name"):
            control.connect(os.getpid())
        with control.connect(os.getpid(), "two") as remote:
            assert remote.facts()["instance"] == "two"
        with pytest.raises(control.NotServing, match="has no instance named 'three'; reachable: 'one', 'two'"):
            control.connect(os.getpid(), "three")


def test_where_there_are_no_unix_sockets_that_is_said(monkeypatch, caplog):
    monkeypatch.delattr("socket.AF_UNIX")
    with pytest.raises(control.ControlUnavailable, match="this system has no Unix sockets"):
        control.connect(os.getpid())
    with Beamlens.start(control=True) as lens:
        assert lens.running
    assert caplog.messages == ["Beamlens 'beamlens' cannot be asked from outside: this system has no Unix sockets"]


def test_every_error_is_one_of_beamlens():
    errors = [getattr(control, name) for name in control.__all__]
    assert all(issubclass(one, BeamlensError) for one in errors if isinstance(one, type) and issubclass(one, Exception))
