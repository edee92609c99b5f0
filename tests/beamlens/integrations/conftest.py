from __future__ import annotations

import pytest

from beamlens.domains import ExceptionDomain, RequestsDomain
from beamlens_supervision import Supervisor


@pytest.fixture
def requests_():
    """The `requests` domain, recording."""
    made = RequestsDomain()
    supervisor = Supervisor.start(made.children())
    yield made
    supervisor.stop()
    made.close()


@pytest.fixture
def exceptions():
    """The `exception` domain, recording."""
    made = ExceptionDomain()
    supervisor = Supervisor.start(made.children())
    yield made
    supervisor.stop()
    made.close()


@pytest.fixture
def ended(monkeypatch):
    """Waits until so many requests are over: a server may answer before its application has returned."""
    import threading

    from beamlens.probes import inbound

    condition = threading.Condition()
    count = [0]
    end = inbound.end

    def ending(request):
        was = request.over
        end(request)
        with condition:
            count[0] += not was
            condition.notify_all()

    def wait(number):
        with condition:
            assert condition.wait_for(lambda: count[0] >= number, 30.0), f"{count[0]} of {number} requests ended"

    monkeypatch.setattr(inbound, "end", ending)
    return wait
