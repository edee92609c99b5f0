from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import blinker
import pytest
from sqlalchemy import create_engine

from beamlens import (
    AgentStatus,
    AlreadyStarted,
    Beamlens,
    ConfigError,
    NotStarted,
    UnknownDomain,
    WatcherSpec,
    registry,
    status,
)
from beamlens.agent.compaction import CompactionPolicy
from beamlens.coordinator import Verdict
from beamlens.domains import RuntimeDomain, built_in_names, required_argument
from beamlens.testing import ScriptedClient, check_domain, tool
from beamlens_supervision import ChildRestarted, Supervisor
from tests.beamlens.coordinator.test_inbox import alert
from tests.support.agents import Queue


def test_the_users_own_lines():
    lens = Beamlens.start(watchers=["runtime", "logger"])
    answer = registry.lookup("exception").ask(status)
    assert answer == AgentStatus(name="exception", kind="operator", state="healthy", iteration=0, running=False)
    assert registry.lookup("runtime").ask(status).kind == "watcher"
    lens.stop()


def test_receivers_connected_to_blinker_hear_alerts_and_insights():
    found = []
    arrived = threading.Event()

    def on_alert(sender, *, alert, measurements, **metadata):
        found.append(("alert", sender, alert.summary, metadata["instance"]))

    def on_insight(sender, *, insight, **metadata):
        found.append(("insight", sender, insight.alert_ids, metadata["instance"]))
        arrived.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    with Beamlens.start() as lens:
        fired = alert()
        assert lens._parts.inbox.offer(fired) is Verdict.DELIVERED
        assert arrived.wait(20)
    assert found == [
        ("alert", "runtime", "seen", "beamlens"),
        ("insight", "coordinator", (fired.id,), "beamlens"),
    ]


def test_only_the_stores_of_configured_domains_are_started():
    with Beamlens.start(watchers=["runtime"]) as lens:
        tree = lens.tree()
    assert "LogStore" not in tree
    assert "ExceptionStore" not in tree
    with Beamlens.start(watchers=["runtime", "logger", "exception"]) as lens:
        tree = lens.tree()
    assert "LogStore" in tree
    assert "ExceptionStore" in tree


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"watchers": ["nope"]}, "watchers[0]", "the domains are: "),
        ({"watchers": "runtime"}, "watchers", 'must be a list, as in watchers=["runtime"]'),
        ({"watchers": ["runtime", "runtime"]}, "watchers[1]", "the name 'runtime' is used twice"),
        ({"watchers": [5]}, "watchers[0]", "not int"),
        ({"watchers": [{"name": "runtime", "colour": 1}]}, "watchers[0]", "RuntimeDomain cannot be made"),
        ({"watchers": [WatcherSpec("runtime", cooldown=-1)]}, "watchers[0].cooldown", "at least 0"),
        ({"watchers": [WatcherSpec("runtime", client="x")]}, "watchers[0].client", "the clients are: default"),
        ({"watchers": ["database"]}, "watchers[0].engine", 'as in {"name": "database", "engine": engine}'),
        ({"watchers": [{"name": "database", "engine": 5}]}, "watchers[0]", "create_engine() or create_async_engine()"),
        ({"operators": ["database"]}, "operators[0]", 'watch it: watchers=[{"name": "database", "engine": engine}]'),
        ({"operators": ["nope"]}, "operators[0]", "the domains are"),
        ({"operators": ["runtime", "runtime"]}, "operators[1]", "used twice"),
        ({"client_registry": {"primary": "x", "clients": []}}, "client_registry.clients", "at least 1"),
        (
            {"client_registry": {"primary": "a", "clients": [{"name": "a", "provider": "anthropic"}]}},
            "client_registry.clients[0].options.api_key",
            "ANTHROPIC_API_KEY",
        ),
        ({"backend": "greenlets"}, "backend", "the choices are: threads"),
        ({"name": ""}, "name", "not empty"),
        ({"llm_timeout": 0}, "llm_timeout", "above 0"),
        ({"redact": ["("]}, "redact[0]", "not a regular expression"),
        ({"watcher": []}, "watcher", "there is no argument 'watcher'; the arguments are: watchers"),
    ],
)
def test_bad_input_is_one_clear_error_and_nothing_stays_running(arguments, field, words):
    before = set(threading.enumerate())
    with pytest.raises(ConfigError) as caught:
        Beamlens.start(**arguments)
    assert caught.value.field == field
    assert words in str(caught.value)
    assert set(threading.enumerate()) <= before | {t for t in threading.enumerate() if t.name == "beamlens-timers"}
    with pytest.raises(NotStarted):
        registry.lookup("runtime")


def test_operators_are_by_default_all_domains_that_need_no_argument():
    with Beamlens.start() as lens:
        names = {one.name for one in lens.list_operators()}
    assert names == {name for name in built_in_names() if required_argument(name) is None}
    assert "database" not in names


def test_an_operator_may_share_the_database_of_a_watcher():
    engine = create_engine("sqlite://")
    with Beamlens.start(watchers=[WatcherSpec("database", engine=engine)], operators=["database"]) as lens:
        assert [one.name for one in lens.list_operators()] == ["database"]
    engine.dispose()


def test_an_unknown_domain_is_an_error_of_its_own():
    with pytest.raises(UnknownDomain):
        Beamlens.start(watchers=["nope"])


def test_a_name_that_runs_already_is_refused_and_carries_the_instance():
    with Beamlens.start() as lens, pytest.raises(AlreadyStarted) as caught:
        Beamlens.start()
    assert caught.value.instance is lens


def test_two_instances_hear_their_own_events_only():
    with Beamlens.start(name="a") as first, Beamlens.start(name="b") as second:
        first._parts.inbox.offer(alert())
        assert first.status().inbox.fired == 1
        assert second.status().inbox.fired == 0
        assert registry.lookup("runtime") is first.registry.lookup("runtime")
        assert registry.lookup("runtime", instance="b") is second.registry.lookup("runtime")


def test_a_domain_that_fails_to_start_leaves_nothing_behind():
    class Bad(Queue):
        name = "bad"

        def all_sensors(self):
            raise RuntimeError("no sensors today")

    from beamlens import BeamlensError

    with pytest.raises(BeamlensError, match="no sensors today"):
        Beamlens.start(watchers=["logger", Bad])
    with pytest.raises(NotStarted):
        registry.lookup("logger")


def test_disabled_by_the_environment_nothing_is_installed(monkeypatch):
    monkeypatch.setenv("BEAMLENS_DISABLED", "1")
    original = logging.Logger.callHandlers
    lens = Beamlens.start(watchers=["runtime", "logger"])
    assert not lens.running
    assert logging.Logger.callHandlers is original
    assert lens.tree() == ""
    lens.stop()


def test_watchers_named_in_the_environment_are_started(monkeypatch):
    monkeypatch.setenv("BEAMLENS_WATCHERS", "runtime, logger")
    with Beamlens.start() as lens:
        assert [one.name for one in lens.list_watchers()] == ["runtime", "logger"]


def test_stop_puts_every_hook_back_and_may_be_repeated():
    before = (logging.Logger.callHandlers, sys.excepthook, threading.excepthook, sys.unraisablehook)
    lens = Beamlens.start(watchers=["runtime", "logger", "exception"])
    assert logging.Logger.callHandlers is not before[0]
    assert lens.stop()
    assert lens.stop()
    assert (logging.Logger.callHandlers, sys.excepthook, threading.excepthook, sys.unraisablehook) == before


def test_watchers_can_be_added_and_taken_away():
    with Beamlens.start() as lens:
        lens.start_watcher(Queue)
        assert registry.lookup("queue").ask(status).name == "queue"
        with pytest.raises(ConfigError, match="runs already"):
            lens.start_watcher(Queue)
        lens.stop_watcher("queue")
        assert registry.lookup("queue") is None
        with pytest.raises(ConfigError, match="no watcher is named 'queue'"):
            lens.stop_watcher("queue")


def test_a_watchers_own_options_reach_it():
    entry = {"name": "gc", "continuous": True, "compaction_max_tokens": 3000}
    with Beamlens.start(watchers=["runtime", entry], compaction_keep_last=9) as lens:
        specs = {spec.id: spec for spec in lens._watchers.specs()}
        policies = {name: spec.args[0].compaction for name, spec in specs.items()}
        continuous = {name: spec.kwargs["continuous"] for name, spec in specs.items()}
    assert continuous == {"runtime": False, "gc": True}
    assert policies == {"runtime": CompactionPolicy(50_000, 9), "gc": CompactionPolicy(3000, 9)}


def test_a_killed_watcher_is_restarted_with_its_siblings_untouched_in_the_middle_of_a_model_call():
    client = ScriptedClient([ScriptedClient.HANG], repeat_last=True)
    with Beamlens.start(watchers=["runtime", Queue], client_registry=client) as lens:
        client.wait_for_calls(2)
        sibling, victim = lens.registry.lookup("queue"), lens.registry.lookup("runtime")
        victim.kill()
        client.wait_for_calls(3)
        assert lens.registry.lookup("queue") is sibling
        assert lens.registry.lookup("runtime") is not victim
        assert sibling.ask(status).running


def test_the_watcher_supervisor_that_crashes_comes_back_with_its_watchers():
    events = []
    arrived = threading.Semaphore(0)

    def started(sender, **_keywords):
        events.append(sender)
        arrived.release()

    blinker.signal("beamlens.watcher.started").connect(started)
    with Beamlens.start(watchers=["runtime", "logger"]) as lens:
        for _ in range(2):
            assert arrived.acquire(timeout=10)
        lens._parts.agents.lookup(("supervisor", "watchers")).kill()
        for _ in range(2):
            assert arrived.acquire(timeout=10)
        assert {one.name for one in lens.list_watchers()} == {"runtime", "logger"}


def test_the_registry_survives_its_own_restart():
    with Beamlens.start(watchers=["runtime"]) as lens:
        ref = lens.registry.lookup("runtime")
        lens._root.child("WatcherRegistry").kill()
        assert lens.registry.lookup("runtime") is ref


def test_an_alert_is_a_log_record_on_the_loggers_of_its_own(caplog):
    with Beamlens.start() as lens:
        lens._parts.inbox.offer(alert(severity="critical"))
        lens.flush()
    (record,) = [one for one in caplog.records if one.name == "beamlens.alerts"]
    assert (record.levelname, record.alert.anomaly_type) == ("ERROR", "memory")
    assert "memory: seen" in record.getMessage()


def test_the_report_of_a_healthy_process_says_so_and_what_is_closest_to_a_limit():
    with Beamlens.start(watchers=["runtime"]) as lens:
        report = lens.report()
    assert report.healthy
    assert str(report).startswith("Beamlens report: healthy\n  watched runtime")
    assert "closest to a limit: runtime." in str(report)
    assert report.to_dict()["healthy"] is True


def test_usage_counts_calls_tokens_and_dollars_by_agent():
    client = ScriptedClient([tool("wait", ms=3_600_000)], repeat_last=True, model="claude-haiku-4-5-20251001")
    waits = threading.Semaphore(0)

    def waiting(_sender, **_keywords):
        waits.release()

    blinker.signal("beamlens.watcher.wait").connect(waiting)
    with Beamlens.start(watchers=["runtime", Queue], client_registry=client) as lens:
        for _ in range(2):
            assert waits.acquire(timeout=10)
        lens.flush()
        usage = lens.usage()
        prompts = lens.prompts()
    assert (usage["calls"], usage["input_tokens"], usage["output_tokens"]) == (2, 200, 20)
    assert usage["cost_usd"] == pytest.approx((200 * 1.0 + 20 * 5.0) / 1e6)
    assert set(usage["by_agent"]) == {"runtime", "queue"}
    assert {prompt["agent"] for prompt in prompts} == {"runtime", "queue"}


def test_it_joins_a_supervision_tree_of_the_hosts():
    supervisor = Supervisor.start([Beamlens.child_spec(watchers=["runtime"])])
    assert registry.lookup("runtime").ask(status).kind == "watcher"
    supervisor.stop()
    with pytest.raises(NotStarted):
        registry.lookup("runtime")


def test_a_supervisor_of_the_hosts_restarts_it_when_its_root_has_died():
    restarted = threading.Event()

    def on_event(event):
        if isinstance(event, ChildRestarted):
            restarted.set()

    supervisor = Supervisor.start(
        [Beamlens.child_spec(watchers=["runtime"], operators=[])], max_restarts=1, on_event=on_event
    )
    supervisor.child("beamlens").kill()
    assert restarted.wait(20.0)
    assert registry.lookup("runtime").ask(status).kind == "watcher"
    supervisor.stop()


def test_the_runtime_domain_keeps_its_contract():
    domain = RuntimeDomain()
    check_domain(domain)
    domain.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_not_watched_and_its_parent_goes_on():
    with Beamlens.start(watchers=["runtime", "logger", "exception"]) as lens:
        pid = os.fork()
        if pid == 0:
            try:
                logging.getLogger("child").error("x")
                ok = not lens.running and not getattr(logging.Logger.callHandlers, "_beamlens", False)
                lens.stop()
                again = Beamlens.start(watchers=["runtime"])
                ok = ok and again.running
                again.stop()
                os._exit(0 if ok else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert lens.registry.lookup("runtime").ask(status).kind == "watcher"


def run_python(code, timeout=30, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


def test_nothing_starts_at_import_and_no_engine_is_loaded():
    code = (
        "import sys, threading, logging; o = logging.Logger.callHandlers; import beamlens; "
        "print(threading.active_count(), o is logging.Logger.callHandlers, "
        "[m for m in ('anthropic', 'gevent', 'lupa', 'rich', 'click') if m in sys.modules])"
    )
    assert run_python(code).stdout == "1 True []\n"


def test_a_process_that_ends_while_a_model_hangs_is_not_held_up():
    code = (
        "from beamlens import Beamlens; from beamlens.testing import ScriptedClient\n"
        "c = ScriptedClient([ScriptedClient.HANG], repeat_last=True)\n"
        "Beamlens.start(watchers=['runtime', 'logger'], client_registry=c); c.wait_for_calls(2); print('end')"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
