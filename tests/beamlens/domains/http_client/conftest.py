from __future__ import annotations

import pytest

from beamlens.domains.http_client import call, taps
from beamlens.domains.http_client.recorder import CallRecorder
from tests.support.web import web_server


@pytest.fixture
def web():
    with web_server() as server:
        yield server


@pytest.fixture
def recorder():
    lost = call.lost()
    made = CallRecorder()
    made.install()
    yield made
    made.uninstall()
    assert taps.heard() == []
    assert call.lost() == lost
