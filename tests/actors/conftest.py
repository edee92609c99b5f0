from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pykka
import pytest

from beamlens_actors import abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_actor_survives_its_test() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.kill()
        ref.join(timeout=10)
    for thread in abandoned():
        thread.join(timeout=10)
        assert not thread.is_alive(), f"{thread} was never let go"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Handlers wait on it; opened at the end whatever happens."""
    event = threading.Event()
    yield event
    event.set()
