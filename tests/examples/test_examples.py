"""Each example does what its first lines say."""

from __future__ import annotations

import re

import pytest

from tests.examples.conftest import BY_THEMSELVES
from tests.examples.process import FOLDER, line_of

SERVERS = {
    # name: (the path that is asked, a text in the line that is to blame, its function)
    "flask_app": ("/pay/7", "return PRICES[product]", "charge"),
    "fastapi_app": ("/reports/may", "sum(sales) / len(sales)", "average"),
    "django_app": ("/orders/7/", "raise LookupError", "ask_the_warehouse"),
}
TEXTS = {
    "plain_script": "pages[number] = page",
    "custom_domain": "depot_is_open.wait()",
    "celery_worker": "raise ValueError",
}


def blamed(name, text, function):
    return re.escape(f"examples/{name}.py:{line_of(name, text)} in {function}")


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_told_by_an_alert_which_line_is_to_blame_and_ends_with_ctrl_c(name, serving, ending):
    path, text, function = SERVERS[name]
    example = serving(name)
    example.line_while_asked(f"beamlens.alerts: alert .*{blamed(name, text, function)}", path)
    assert example.interrupt() == 0


def test_the_custom_client_is_asked_and_its_finding_is_the_result(ending):
    example = ending["custom_client"]
    assert example.ended() == 0
    assert example.said == [
        "asked by runtime, 10 tools, 1 message",
        "asked by runtime, 10 tools, 3 messages",
        "asked by runtime, 10 tools, 5 messages",
        "[info] The process was looked at. (house-model)",
    ]


def test_the_hosts_tree_shows_beamlens_as_a_child_and_restarts_it(ending):
    example = ending["host_tree"]
    assert example.ended() == 0
    said = example.said
    assert said.count("├── orders (worker, running)") == 2
    assert said.count("└── beamlens (supervisor, running)") == 1
    assert said.count("└── beamlens (supervisor, running, restarts 1)") == 1
    assert said.count("ChildRestarted: beamlens") == 1
    assert [line for line in said if line.startswith(("another", "watching", "meanwhile"))] == [
        "another one: True",
        "watching again: healthy",
        "meanwhile: ordered milk",
    ]


def test_the_custom_domain_names_the_line_that_it_found(ending):
    example = ending["custom_domain"]
    assert example.ended() == 0
    place = blamed("custom_domain", "depot_is_open.wait()", "deliver")
    example.line(f"^high confidence: Closed depot at {place}")


def test_the_worker_is_told_which_line_its_tasks_fail_at_and_ends(ending):
    example = ending["celery_worker"]
    assert example.ended() == 0
    place = blamed("celery_worker", "raise ValueError", "send_mail")
    example.line(f"beamlens.alerts: alert .*{place}.*task mails.send")


def test_the_script_is_told_which_line_leaks(ending):
    example = ending["plain_script"]
    assert example.ended() == 0
    example.line(f"^insight .*Memory leak at {blamed('plain_script', 'pages[number] = page', 'render')}")


@pytest.mark.parametrize("name", [*SERVERS, *TEXTS])
def test_the_line_that_an_example_promises_is_the_one(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    text = SERVERS[name][1] if name in SERVERS else TEXTS[name]
    assert re.findall(rf"``{name}\.py:(\d+) in \w+``", source) == [str(line_of(name, text))]


def test_every_example_is_tested():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SERVERS, *BY_THEMSELVES}
