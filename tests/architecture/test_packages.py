from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import beamlens
import beamlens_actors
import beamlens_supervision

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", [beamlens, beamlens_actors, beamlens_supervision])
def test_public_names_exist_and_are_sorted(package):
    assert list(package.__all__) == sorted(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_every_module_can_be_imported():
    found = [name for _, name, _ in pkgutil.walk_packages(beamlens.__path__, "beamlens.") if ".shop" not in name]
    for name in found:
        if name not in ("beamlens.__main__", "beamlens.lua.worker"):
            importlib.import_module(name)
    assert len(found) > 60


def test_the_sample_service_knows_nothing_of_beamlens_and_beamlens_nothing_of_it():
    shop = ROOT / "beamlens" / "demo" / "shop"
    assert [path.name for path in shop.glob("*.py") if "beamlens" in path.read_text()] == []
    others = [path for path in (ROOT / "beamlens").rglob("*.py") if "demo" not in path.parts]
    assert [path.name for path in others if "import shop" in path.read_text() or "from shop" in path.read_text()] == []


def test_names_that_are_public_objects_are_no_modules():
    for name in ("registry.py", "status.py", "telemetry/signal.py"):
        assert not (ROOT / "beamlens" / name).exists()


def test_the_names_of_the_agent_core_come_from_where_they_are_defined():
    import beamlens.agent

    found = {name: getattr(beamlens.agent, name) for name in beamlens.agent.__all__}
    assert sorted(beamlens.agent._MODULES) == beamlens.agent.__all__
    assert {name for name, value in found.items() if value.__module__ != beamlens.agent._MODULES[name]} == set()
    assert set(beamlens.agent.__all__) <= set(dir(beamlens.agent))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        beamlens.agent.Nonsense  # noqa: B018 - the access is what is tested


def test_a_start_without_a_key_imports_nothing_that_it_does_not_need():
    """Measured before: users' agents, the fact check and the calls of providers were a quarter of a start."""
    code = (
        "import sys; from beamlens import Beamlens;"
        "lens = Beamlens.start(watchers=['runtime', 'logger']); lens.stop();"
        "print(*sorted(m for m in sys.modules if m.startswith('beamlens')))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "BEAMLENS"))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    unwanted = [
        "beamlens.agent.account_file",
        "beamlens.agent.actor",
        "beamlens.agent.subagent_coordinator",
        "beamlens.agent.subscribers",
        "beamlens.coordinator.tools",
        "beamlens.domains.exception",
        "beamlens.findings.facts",
        "beamlens.llm.anthropic",
        "beamlens.llm.composites",
        "beamlens.llm.dispatcher",
        "beamlens.llm.providers",
    ]
    assert [name for name in unwanted if name in done.stdout.split()] == []
