from __future__ import annotations

from typing import TYPE_CHECKING

import pykka
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_actor_survives_its_test() -> Iterator[None]:
    # A measure leaves its actors to the end of its process; here that is the end of all tests.
    yield
    pykka.ActorRegistry.stop_all(timeout=10)
