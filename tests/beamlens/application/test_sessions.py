"""An instance and the sessions of its user's agents."""

from __future__ import annotations

import subprocess
import sys

import pytest

from beamlens import Beamlens
from beamlens.agent import AgentCore, Session
from beamlens.config import Environment
from beamlens.errors import BeamlensError, ConfigError
from beamlens.testing import ScriptedClient

SECONDS = 10.0


def ask(ref):
    ref.prompt("There?")
    return ref.wait_for_idle(SECONDS).text


def test_the_supervisor_of_sessions_is_in_the_tree():
    with Beamlens.start() as lens:
        names = [child.id for child in lens._root.which_children()]
        assert names[names.index("AgentRegistry") :][:3] == ["AgentRegistry", "SubagentSupervisor", "SessionSupervisor"]
        ref = lens.agent_core.sessions.start_session("You help.", session_id="mine")
        assert "mine" in lens.tree()
        assert ref.is_alive()
    assert not ref.is_alive()


def test_sessions_are_kept_in_the_state_directory_and_restored_by_the_next_instance(tmp_path):
    state_dir = tmp_path / "made" / "later"
    with Beamlens.start(state_dir=state_dir) as lens:
        assert not state_dir.exists()
        ref = Session.start("You help.", client=ScriptedClient(["Yes."]), session="mine", core=lens.agent_core)
        assert ask(ref) == "Yes."
    assert [path.parent for path in state_dir.rglob("*.jsonl")] == [state_dir / "sessions"]
    with Beamlens.start(state_dir=str(state_dir)) as lens:
        again = Session.restore("mine", client=ScriptedClient(["Still."]), core=lens.agent_core)
        assert len(again.state().messages) == 2
        assert ask(again) == "Still."


def test_an_instance_redacts_what_it_keeps_with_its_own_patterns(tmp_path):
    with Beamlens.start(state_dir=tmp_path, redact=["order-[0-9]+"]) as lens:
        ref = Session.start("You help.", client=ScriptedClient(["It is order-77."]), core=lens.agent_core)
        ask(ref)
        path = ref.state().journal.path
    with open(path) as file:
        assert "order-77" not in file.read()


def test_without_a_state_directory_sessions_are_in_memory_and_that_is_said_once(caplog):
    with Beamlens.start() as lens:
        for name in "ab":
            ref = lens.agent_core.sessions.start_session("You help.", session_id=name)
            assert ref.state().journal.status == "memory"
        with pytest.raises(BeamlensError, match="no state directory"):
            lens.agent_core.sessions.restore("c")
    assert caplog.text.count("sessions are kept in memory only") == 1


def test_the_environment_names_a_state_directory_for_a_start_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMLENS_STATE_DIR", str(tmp_path))
    assert Environment.read().state_dir == str(tmp_path)
    with Beamlens.start() as lens:
        assert lens.agent_core.sessions.start_session("You help.").state().journal.path.startswith(str(tmp_path))


@pytest.mark.parametrize("bad", [5, "", b"x", __file__])
def test_what_can_be_no_state_directory_is_refused(bad):
    with pytest.raises(ConfigError, match="state_dir"):
        Beamlens.start(state_dir=bad)
    with pytest.raises(ConfigError, match="state_dir"):
        AgentCore.start(state_dir=bad)


def test_a_policy_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="always, run, never"):
        AgentCore.start(fsync="often")


def test_an_instance_without_sessions_imports_nothing_of_them():
    code = (
        "import sys; from beamlens import Beamlens\n"
        "with Beamlens.start(): pass\n"
        "print([name for name in sys.modules if 'session' in name and 'beamlens' in name or 'journal' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"
