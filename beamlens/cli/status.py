"""`beamlens status`: how an instance and its agents are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beamlens.cli import target
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import dollars, duration, lines


@click.command()
@target.options
def status(*, pid: int | None, name: str | None, as_json: bool) -> None:
    """Show how PID and its watchers are, also while models are asked."""
    with target.reached(pid, name) as remote:
        found = {**remote.status(), "facts": remote.facts()}
    if as_json:
        click.echo(to_json(found))
        return
    for text in status_lines(lines(found)):
        click.echo(text)


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """For people; `status` is escaped already."""
    inbox = status["inbox"]
    found = [
        *heading(status["facts"]),
        "alerts: " + ", ".join(f"{count} {what}" for what, count in inbox.items()),
        "watchers:",
        *(f"  {one['name']:14} {one['state']:10} {doing(one)}" for one in status["watchers"]),
    ]
    if not status["watchers"]:
        found.append("  none")
    coordinator = status["coordinator"]
    found.append(f"coordinator: {'is being restarted' if coordinator is None else doing(coordinator)}")
    busy = [one["name"] for one in status["operators"] if one["running"]]
    found.append(f"operators: {len(status['operators'])}, running: {', '.join(busy) or 'none'}")
    if status["events_dropped"]:
        found.append(f"telemetry events dropped: {status['events_dropped']}")
    return found


def heading(facts: Mapping[str, Any]) -> list[str]:
    """The process and its instance in two lines."""
    numbers = f"{facts['alerts']} open alerts, {facts['insights']} insights, {dollars(facts['cost_usd'])}"
    health = f"{facts['state']}, up {duration(facts['uptime'])}, {numbers} (analyst: {facts['model']})"
    return [
        f"{facts['instance']} in process {facts['pid']}: {health}",
        f"  {' '.join(facts['command'])}",
    ]


def doing(agent: Mapping[str, Any]) -> str:
    """What an agent does, in words."""
    if agent["running"]:
        what = f"looking, turn {agent['iteration']}"
    elif agent["wait_seconds"] is not None:
        what = f"next look in {duration(agent['wait_seconds'])}"
    else:
        what = "idle"
    parts = [what, f"{agent['runs']} {'runs' if agent['kind'] == 'coordinator' else 'looks'}"]
    if agent["active_sensors"]:
        parts.append("active: " + ", ".join(agent["active_sensors"]))
    if agent["stopped_by"] and not agent["running"]:
        parts.append(f"the last one ended by {agent['stopped_by']}")
    return ", ".join(parts)
