"""For all tests."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# A shell starts its background jobs with SIGINT ignored, and what is ignored stays so in every program that a test
# starts: then Ctrl-C could not be tested in it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Whole programs that misbehave in the tests' own process: their causes are searched for in its heap, which every other
# test that has run there makes larger.
_FIRST = ("tests/integration/", "tests/beamlens/domains/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run those first."""
    items.sort(key=lambda item: next((n for n, path in enumerate(_FIRST) if item.nodeid.startswith(path)), len(_FIRST)))


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of every collection: there are so many that one takes a quarter of a second."""
    gc.collect()
    gc.freeze()
