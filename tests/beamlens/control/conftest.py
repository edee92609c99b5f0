from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """A runtime folder of the test's own, with a short name; processes that it starts use it too."""
    runtime = Path(tempfile.mkdtemp(prefix="bl"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield runtime / "beamlens"
    shutil.rmtree(runtime)
