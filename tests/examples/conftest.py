"""The examples as real processes: those that end by themselves are started together, for most of them wait."""

from __future__ import annotations

import pytest

from tests.examples.process import Example

BY_THEMSELVES = ("plain_script", "celery_worker", "custom_domain", "custom_client", "host_tree")


@pytest.fixture(scope="session")
def ending():
    """Name to running example."""
    running = {name: Example(name) for name in BY_THEMSELVES}
    yield running
    for each in running.values():
        each.close()


@pytest.fixture
def serving():
    """Starts an example that serves until Ctrl-C; ends it with that."""
    started = []

    def start(name):
        started.append(Example(name, "0"))
        return started[-1]

    yield start
    for each in started:
        each.close()
