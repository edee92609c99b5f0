"""`check_domain`: does a domain keep its contract?"""

from __future__ import annotations

import inspect
import json
from typing import Any

from beamlens.domains.domain import Domain
from beamlens_actors.words import in_words

_LUA_KEYWORDS = frozenset(
    {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil"}
    | {"not", "or", "repeat", "return", "then", "true", "until", "while"}
)
_BAD_ARGUMENTS: tuple[tuple[Any, ...], ...] = ((None,), (-1,), ("[",), ({},), (1e300,), (0, 0, 0, 0, 0, 0))


def check_domain(domain: Domain) -> None:
    """Check the contract of a domain: names, snapshot, metrics, callbacks and their documentation.

    Raises:
        AssertionError: It is not kept; lists everything that was found.
    """
    found = [*_names(domain), *_snapshot(domain), *_callbacks(domain)]
    if found:
        raise AssertionError(f"{type(domain).__name__} does not keep the contract of Domain:\n- " + "\n- ".join(found))


def _names(domain: Domain) -> list[str]:
    found = []
    if not domain.name.isidentifier() or domain.name != domain.name.lower():
        found.append(f"name {domain.name!r} must be a lower-case identifier: it is the prefix of the callbacks")
    names = [metric.name for metric in domain.metrics]
    found += [f"metric {name!r} is declared twice" for name in sorted({n for n in names if names.count(n) > 1})]
    sensors = [sensor.name for sensor in domain.all_sensors()]
    found += [f"sensor {name!r} is declared twice" for name in sorted({n for n in sensors if sensors.count(n) > 1})]
    if not domain.system_prompt().strip():
        found.append("the system prompt is empty: give the class a docstring")
    return found


def _snapshot(domain: Domain) -> list[str]:
    try:
        data = domain.snapshot()
    except Exception as error:  # noqa: BLE001 - reported
        return [f"snapshot() raised {in_words(error)}"]
    if type(data) is not dict:
        return [f"snapshot() returned {type(data).__name__}, not a dict"]
    found = _json("snapshot()", data)
    unavailable = data.get("_unavailable", {})
    for metric in domain.metrics:
        if metric.name not in data:
            found.append(f"metric {metric.name!r} is declared, but not in the snapshot")
        elif data[metric.name] is None and metric.name not in unavailable:
            found.append(f"metric {metric.name!r} is None without a reason under '_unavailable'")
    return found


def _callbacks(domain: Domain) -> list[str]:
    found = []
    documentation = domain.callback_docs()
    for name, function in domain.callbacks().items():
        if not name.isidentifier() or name in _LUA_KEYWORDS:
            found.append(f"callback {name!r} is no Lua name")
        if name not in documentation or not inspect.getdoc(function):
            found.append(f"callback {name} has no documentation")
        required = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.default is inspect.Parameter.empty
        ]
        found += [
            f"callback {name}: parameter {parameter.name} must be annotated int or str"
            for parameter in required
            if parameter.annotation not in (int, str, "int", "str")
        ]
        for arguments in ((), *_BAD_ARGUMENTS):
            found += _call(name, function, arguments)
    return found


def _call(name: str, function: Any, arguments: tuple[Any, ...]) -> list[str]:
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001 - reported
        return [f"callback {name}{arguments!r} raised {type(error).__name__}: it must answer with an error"]
    return _json(f"callback {name}{arguments!r}", answer)


def _json(what: str, value: Any) -> list[str]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"{what} returned what is not JSON: {error}"]
    return [f"{what}: key {key!r} is a Lua keyword" for key in _keys(value) if key in _LUA_KEYWORDS]


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in _keys(item))]
    if isinstance(value, list):
        return [key for item in value for key in _keys(item)]
    return []
