from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = ("flask", "django", "fastapi", "starlette", "celery", "werkzeug", "asgiref", "loguru", "structlog")


@pytest.mark.parametrize(
    "module", ["beamlens.domains.requests", "beamlens.integrations.wsgi", "beamlens.integrations.asgi"]
)
def test_no_framework_is_imported_but_by_its_own_door(module):
    code = f"import sys, {module}; print([name for name in {FRAMEWORKS!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_starting_beamlens_without_requests_imports_neither_domain_nor_doors():
    code = (
        "import sys, beamlens\n"
        "with beamlens.Beamlens.start(watchers=['logger'], operators=[]):\n"
        "    print([name for name in sys.modules if name.startswith(('beamlens.integra', 'beamlens.domains.req'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
