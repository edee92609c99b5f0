"""The catalogue has what the seeds have, is documented, and each entry is emitted somewhere."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

import beamlens
from beamlens.telemetry import catalogue
from tests.support.events_page import PAGE, page
from tests.support.seed_events import SEED_EVENTS, SEED_METADATA, TIMED

SOURCES = Path(beamlens.__file__).parent


@pytest.mark.parametrize("name", SEED_EVENTS)
def test_an_event_of_the_seeds_has_a_counterpart(name):
    assert SEED_EVENTS[name] in catalogue()


@pytest.mark.parametrize("name", SEED_METADATA)
def test_an_event_says_what_that_of_the_seeds_says(name):
    assert set(SEED_METADATA[name]) <= set(catalogue()[name].metadata)


@pytest.mark.parametrize("name", TIMED)
def test_the_end_of_something_tells_how_long_it_took(name):
    assert "duration" in catalogue()[name].measurements


def test_a_model_call_tells_whose_it_was_its_tokens_and_its_cost():
    stop = catalogue()["llm.stop"]
    assert {"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd"} <= set(
        stop.measurements
    )
    assert {"agent", "model"} <= set(stop.metadata)


def test_the_page_has_every_event_with_its_measurements_and_metadata():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew with: python -m tests.support.events_page"


@pytest.mark.parametrize("name", catalogue())
def test_an_event_of_the_catalogue_is_emitted_somewhere(name):
    assert any(pattern.fullmatch(name) for pattern in emitted()), f"nothing in beamlens/ emits {name}"


def test_an_event_that_nobody_emits_would_be_found_out():
    assert not any(pattern.fullmatch("watcher.never_told") for pattern in emitted())
    assert not any(pattern.fullmatch("coordinator.loop_stopped") for pattern in emitted())


# Whoever emits by way of a helper that puts something before the name.
_PREFIXES = {
    "operator/": "operator.",
    "watcher/": "watcher.",
    "findings/": "(?:watcher|operator).",
    "coordinator/": "coordinator.",
    "agent/compactor.py": "compaction.",
    "agent/session": "agent_core.",
}
_TELLS = re.compile(r"_?(?:emit|tell|report|Said)")


@lru_cache(maxsize=1)
def emitted():
    """What the sources emit, as patterns: a hole of a formatted name is any word."""
    found = set()
    for path in SOURCES.rglob("*.py"):
        where = path.relative_to(SOURCES).as_posix()
        if where.startswith("telemetry/events"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {re.compile(text) for text in _names(node, where)}
    return found


def _names(node, where):
    if not isinstance(node, ast.Call) or not node.args:
        return
    function = getattr(node.func, "attr", getattr(node.func, "id", ""))
    for name in _texts(node.args[0]):
        if function == "_emit_task":
            yield rf"agent_core\.tool_task\.{name}"
        elif _TELLS.fullmatch(function):
            yield name
            yield from (prefix + name for part, prefix in _PREFIXES.items() if where.startswith(part))


def _texts(node):
    """The texts that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.JoinedStr) and not _passed_on(node):
        yield "".join(
            re.escape(str(piece.value)) if isinstance(piece, ast.Constant) else r"\w+" for piece in node.values
        )


def _passed_on(node):
    """Whether it is a helper's own parameter that the name ends with: its callers say what that is."""
    last = node.values[-1]
    return isinstance(last, ast.FormattedValue) and getattr(last.value, "id", "") == "name"
