from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import beamlens
import beamlens_actors
import beamlens_supervision

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", [beamlens, beamlens_actors, beamlens_supervision])
def test_public_names_exist_and_are_sorted(package):
    assert list(package.__all__) == sorted(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_every_module_can_be_imported():
    found = [name for _, name, _ in pkgutil.walk_packages(beamlens.__path__, "beamlens.") if ".shop" not in name]
    for name in found:
        if name not in ("beamlens.__main__", "beamlens.lua.worker"):
            importlib.import_module(name)
    assert len(found) > 60


def test_the_sample_service_knows_nothing_of_beamlens_and_beamlens_nothing_of_it():
    shop = ROOT / "beamlens" / "demo" / "shop"
    assert [path.name for path in shop.glob("*.py") if "beamlens" in path.read_text()] == []
    others = [path for path in (ROOT / "beamlens").rglob("*.py") if "demo" not in path.parts]
    assert [path.name for path in others if "import shop" in path.read_text() or "from shop" in path.read_text()] == []


def test_names_that_are_public_objects_are_no_modules():
    for name in ("registry.py", "status.py", "telemetry/signal.py"):
        assert not (ROOT / "beamlens" / name).exists()
