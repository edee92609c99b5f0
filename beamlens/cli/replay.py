"""`beamlens replay`: a recorded run once more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.text import safe

if TYPE_CHECKING:
    from beamlens.agent.replay import Replay
    from beamlens.llm.client import LLMClient

RECORDED = "recorded"
_MOST_SHOWN = 200


@click.command()
@click.argument("journal", type=click.Path(exists=True, dir_okay=False))
@click.option("--run", "run_id", help="Id of the run, or how it begins; by default the last one.")
@click.option(
    "--client",
    "provider",
    default=RECORDED,
    show_default=True,
    help="Who answers: the recorded answers once more, or a provider's name, such as anthropic or ollama.",
)
@click.option("--model", help="Model of the provider; by default its own default.")
@click.option("--base-url", help="Address of the provider, where it has none of its own.")
@click.option("--list", "only_list", is_flag=True, help="List the runs instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def replay(
    ctx: click.Context,
    *,
    journal: str,
    run_id: str | None,
    provider: str,
    model: str | None,
    base_url: str | None,
    only_list: bool,
    as_json: bool,
) -> None:
    """Run a recorded run again, its tools answering as they did.

    JOURNAL is a file that a session has written. No tool is run. With the recorded answers the exit code is 1 when the
    replay differs from the recording; with another client it only tells where they part.
    """
    from beamlens.agent.journal import JournalError, read_journal
    from beamlens.agent.replay import replay as play
    from beamlens.errors import BeamlensError

    if provider == RECORDED and (model or base_url):
        raise click.UsageError("--model and --base-url need --client PROVIDER")
    try:
        held = read_journal(journal)
        if held.note:
            click.echo(safe(held.note), err=True)
        if only_list:
            _list(held.runs, as_json=as_json)
            return
        client = None if provider == RECORDED else _client(provider, model, base_url)
        found = play(held, run_id=run_id, client=client)
    except (JournalError, OSError) as error:
        raise click.ClickException(safe(str(error))) from error
    except BeamlensError as error:
        raise click.UsageError(safe(str(error))) from error
    _show(found, as_json=as_json)
    ctx.exit(1 if provider == RECORDED and not found.same else 0)


def _client(provider: str, model: str | None, base_url: str | None) -> LLMClient:
    from beamlens.llm.registry import ClientRegistry

    if provider == "offline":
        raise click.UsageError("the offline analyst judges live facts, and a journal holds none: choose a provider")
    options = {name: value for name, value in (("model", model), ("base_url", base_url)) if value}
    entry = {"name": provider, "provider": provider, "options": options}
    return ClientRegistry.build({"primary": provider, "clients": [entry]}).primary


def _list(runs: Any, *, as_json: bool) -> None:
    rows = [
        {
            "run_id": run.run_id,
            "answers": sum(message.role == "assistant" for message in run.messages),
            "stopped_by": None if run.end is None else run.end.stopped_by,
            "model": None if run.end is None else run.end.model,
        }
        for run in runs
    ]
    if as_json:
        click.echo(json.dumps({"runs": rows}))
        return
    for row in rows:
        ended = row["stopped_by"] or "no end: the process ended first"
        click.echo(safe(f"{row['run_id']}  {row['answers']} answers  {row['model'] or ''}  {ended}"))


def _show(found: Replay, *, as_json: bool) -> None:
    outcome = found.outcome
    if as_json:
        turns = [
            {
                "text": turn.text,
                "calls": [
                    {
                        "name": one.call.name,
                        "arguments": one.call.arguments,
                        "recorded": one.recorded,
                        "is_error": one.output.is_error,
                        "content": one.output.content,
                    }
                    for one in turn.calls
                ],
            }
            for turn in found.turns
        ]
        click.echo(
            json.dumps(
                {
                    "run_id": found.run.run_id,
                    "same": found.same,
                    "differences": found.differences,
                    "stopped_by": outcome.stopped_by,
                    "error": outcome.error,
                    "model": outcome.model,
                    "turns": turns,
                }
            )
        )
        return
    click.echo(safe(f"run {found.run.run_id}, answered by {outcome.model}"))
    for number, turn in enumerate(found.turns, 1):
        if turn.text.strip():
            click.echo(safe(f"{number:3} {_short(turn.text)}"))
        for one in turn.calls:
            how = "as recorded" if one.recorded else "not recorded"
            words = f"{one.call.name} {json.dumps(one.call.arguments, ensure_ascii=False, default=repr)}"
            click.echo(safe(f"{number:3} -> {_short(words)}"))
            size = len(one.output.content.encode())
            click.echo(safe(f"    <- {how}, {size} bytes: {_short(one.output.content)}"))
    why = f": {outcome.error}" if outcome.error else ""
    click.echo(safe(f"ended: {outcome.stopped_by}{why}"))
    click.echo("the same as recorded, to the byte" if found.same else "it differs from the recording:")
    for difference in found.differences:
        click.echo(safe(f"  {difference}"))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _MOST_SHOWN else f"{words[: _MOST_SHOWN - 3]}..."
