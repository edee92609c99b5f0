"""`beamlens ask`: have a process look into a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beamlens.cli import target
from beamlens.cli.text import as_json as to_json
from beamlens.cli.text import dollars, lines, safe


@click.command()
@click.argument("words", metavar="[PID] QUESTION", nargs=-1, required=True)
@click.option("--instance", "name", metavar="NAME", help="The instance, where the process has several.")
@click.option(
    "--timeout", type=click.FloatRange(1.0, 900.0), default=300.0, show_default=True, help="Seconds for the answer."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def ask(*, words: tuple[str, ...], name: str | None, timeout: float, as_json: bool) -> None:
    """Ask PID a question, such as "why is memory growing?".

    Its Coordinator looks into it, with the model that the process has, or offline.
    """
    pid, question = _split(words)
    with target.reached(pid, name) as remote:
        if not as_json:
            click.echo(f"asking process {remote.pid} ...", err=True)
        found = remote.ask(question, timeout)
    if as_json:
        click.echo(to_json(found))
        return
    click.echo(safe(str(found["answer"])))
    for text in _details(found):
        click.echo(text)


def _split(words: tuple[str, ...]) -> tuple[int | None, str]:
    pid = int(words[0]) if words[0].isascii() and words[0].isdigit() else None
    question = " ".join(words if pid is None else words[1:]).strip()
    if not question:
        raise click.UsageError('give a question: beamlens ask PID "why is memory growing?"')
    return pid, question


def _details(found: Mapping[str, Any]) -> list[str]:
    shown = lines(dict(found))
    texts = [""]
    for insight in shown["insights"]:
        if insight["summary"] not in shown["answer"]:
            texts.append(f"insight [{insight['confidence']} confidence]: {insight['summary']}")
        place = (insight["cause"] or {}).get("place")
        if place:
            texts.append(f"at {place['file']}:{place['line']}")
    texts += [
        f"found [{alert['severity']}] {alert['watcher']}/{alert['anomaly_type']}: {alert['observation']}"
        for alert in shown["findings"]
    ]
    texts.append(f"analyst: {shown['model']}, {dollars(shown['cost'])}")
    return texts
