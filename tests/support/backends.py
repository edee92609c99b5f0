"""For the tests of actors and of what stands on them: each runs on every backend, and leaves nothing behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pykka
import pytest

from beamlens_actors import abandoned, set_default_backend
from beamlens_actors.backends import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["backend", "gate", "no_actor_survives_its_test", "pytest_generate_tests"]


@pytest.fixture(autouse=True)
def no_actor_survives_its_test() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.kill()
    for ref in pykka.ActorRegistry.get_all():
        ref.join(timeout=10)
    for thread in abandoned():
        thread.join(timeout=10)
        assert not thread.is_alive(), f"{thread} was never let go"


@pytest.fixture(autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """What actors run on in the test; both, where it does not say."""
    name: str = getattr(request, "param", "threads")
    set_default_backend(name)
    yield name
    set_default_backend("threads")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    only = metafunc.definition.get_closest_marker("backend")
    metafunc.parametrize("backend", only.args if only else BACKENDS, indirect=True)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Handlers wait on it; opened at the end whatever happens (list it after what uses it)."""
    event = threading.Event()
    yield event
    event.set()
