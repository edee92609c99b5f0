from __future__ import annotations

import pytest

from beamlens.agent import AgentCore
from tests.support.agents import Events


@pytest.fixture
def core():
    with AgentCore.start("tests") as core:
        core.events = Events()
        core.services.bus.listen(core.events.listen)
        yield core


@pytest.fixture
def kept(tmp_path):
    """A core that keeps its sessions."""
    with AgentCore.start("tests", state_dir=tmp_path) as core:
        core.events = Events()
        core.services.bus.listen(core.events.listen)
        yield core
