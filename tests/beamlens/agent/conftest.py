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
