from __future__ import annotations

import asyncio
import sys

import pytest
from sqlalchemy.util import greenlet_spawn

from beamlens.probes.call_site import CallSites


def here(sites):
    return sites.find(sys._getframe(1))


def test_the_innermost_line_of_the_users_code_is_named():
    site = here(CallSites())
    assert (site.file, site.function) == (__file__, "test_the_innermost_line_of_the_users_code_is_named")
    assert site.place.line == site.line
    assert str(site) == f"{__file__}:{site.line} {site.function}"


@pytest.mark.parametrize(
    ("file", "module", "expected"),
    [
        ("/usr/x/site-packages/flask/app.py", "flask.app", "caller"),  # a library between two lines of the user's
        ("<string>", "anything", "caller"),
        ("/somewhere/orders.py", "orders", "inner"),
        ("/somewhere/beamlens/own.py", "beamlens.own", "caller"),
    ],
)
def test_frames_of_python_libraries_and_our_own_are_passed_over(file, module, expected):
    names = {"__name__": module, "here": here, "sites": CallSites()}
    exec(compile("def inner():\n    return here(sites)\n", file, "exec"), names)

    def caller():
        return names["inner"]()

    assert caller().function.rpartition(".")[2] == expected


def test_without_a_line_of_the_users_it_is_a_librarys():
    sites = CallSites("sqlalchemy")
    names = {"__name__": "flask.app", "sys": sys, "sites": sites}
    text = "def inner():\n    return sites._scan(sys._getframe(0))[1].f_code.co_name\n"
    exec(compile(text, "/usr/x/site-packages/flask/app.py", "exec"), names)
    assert names["inner"]() == "inner"


def test_what_runs_in_a_librarys_greenlet_belongs_to_who_switched_to_it():
    names = {"__name__": "driver", "here": here, "sites": CallSites("sqlalchemy")}
    exec(compile("def inner():\n    return here(sites)\n", "/usr/x/site-packages/driver.py", "exec"), names)

    async def view():
        return await greenlet_spawn(names["inner"])

    assert asyncio.run(view()).function.rpartition(".")[2] == "view"


def test_files_without_end_are_forgotten_again():
    sites = CallSites()
    for number in range(5000):
        names = {"__name__": "made", "here": here, "sites": sites}
        exec(compile("def inner():\n    return here(sites)\n", f"/made/{number}.py", "exec"), names)
        assert names["inner"]().file == f"/made/{number}.py"
    assert len(sites._kinds) <= 4096
    assert len(sites._known) <= 4096
