"""What an instance tells through its control socket."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beamlens.application import asking
from beamlens.control import agents
from beamlens.control.actor import ControlServer
from beamlens.control.errors import ProtocolError
from beamlens.control.protocol import Handler, Terms, package_version
from beamlens.errors import NotStarted
from beamlens.findings import AgentStatus
from beamlens_supervision import ChildSpec, tree

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens

_STATES = ("healthy", "observing", "warning", "critical")
_LONGEST_QUESTION = 10_000


def child_spec(instance: Beamlens, unavailable: Any) -> ChildSpec:
    """How the instance's supervisor starts its control socket; see `ControlServer.child_spec`."""
    return ControlServer.child_spec(handlers(instance), instance.name, unavailable)


def handlers(instance: Beamlens) -> dict[str, Handler]:
    """Who answers each kind of question."""

    def ask(arguments: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
        question = arguments.get("question")
        if not isinstance(question, str) or not question.strip() or len(question) > _LONGEST_QUESTION:
            raise ProtocolError(f"a question must be a text of at most {_LONGEST_QUESTION} characters")
        return asking.ask(instance, question.strip(), terms)

    return {
        **agents.handlers(instance.registry.lookup),
        "facts": lambda _arguments, _terms: facts(instance),
        "tree": lambda _arguments, _terms: _tree(instance),
        "status": lambda _arguments, _terms: _status(instance),
        "report": lambda _arguments, _terms: instance.report().to_dict(),
        "alerts": lambda _arguments, _terms: _alerts(instance),
        "insights": lambda _arguments, _terms: _insights(instance),
        "usage": lambda _arguments, _terms: instance.usage(),
        "overview": lambda _arguments, _terms: _overview(instance),
        "ask": ask,
    }


def facts(instance: Beamlens) -> dict[str, Any]:
    """The process, the instance, and how it is, in a few fields."""
    watchers = instance.list_watchers()
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "forked": instance.forked,
        "instance": instance.name,
        "command": list(sys.orig_argv or sys.argv),  # an interpreter that is embedded has no arguments of its own
        "folder": _folder(),
        "python": platform.python_version(),
        "beamlens": package_version(),
        "uptime": round(instance.uptime, 3),
        "started_at": round(time.time() - instance.uptime, 3),
        "model": instance.model,
        "watchers": [one.name for one in watchers],
        "state": max((one.state for one in watchers), key=_STATES.index, default="healthy"),
        "alerts": len(instance.open_alerts()),
        "insights": len(instance.insights()),
        "cost_usd": instance.usage()["cost_usd"],
    }


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a text
    except OSError:  # it was removed
        return None


def _tree(instance: Beamlens) -> dict[str, Any]:
    root = instance.supervisor
    if root is None:
        raise NotStarted(f"the Beamlens instance {instance.name!r} does not run")
    return dict(tree(root))


def _status(instance: Beamlens) -> dict[str, Any]:
    status = instance.status()
    return {
        **status._asdict(),
        "watchers": [dataclasses.asdict(one) for one in status.watchers],
        "operators": [dataclasses.asdict(one) for one in status.operators],
        "coordinator": _agent(status.coordinator),
        "inbox": status.inbox._asdict(),
    }


def _agent(status: AgentStatus | None) -> dict[str, Any] | None:
    return None if status is None else dataclasses.asdict(status)


def _alerts(instance: Beamlens) -> list[dict[str, Any]]:
    return [alert.model_dump(mode="json") for alert in instance.open_alerts()]


def _insights(instance: Beamlens) -> list[dict[str, Any]]:
    return [insight.model_dump(mode="json") for insight in instance.insights()]


def _overview(instance: Beamlens) -> dict[str, Any]:
    return {
        "facts": facts(instance),
        "status": _status(instance),
        "tree": _tree(instance),
        "alerts": _alerts(instance),
        "insights": _insights(instance),
        "usage": instance.usage(),
    }
