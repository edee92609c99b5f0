"""`beamlens run`: watch an unchanged program."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.interrupt import prepare
from beamlens.cli.text import as_json as as_json_line
from beamlens.cli.text import line, lines

if TYPE_CHECKING:
    from beamlens.application import Beamlens, Report
    from beamlens.cli.program import Program

DEFAULT_WATCHERS = "runtime,logger,exception"
# Not the default name: a program that starts Beamlens itself finds that one free.
INSTANCE = "beamlens-run"


class _RunCommand(click.Command):
    """Whatever follows the program's name, ``-m`` or ``--`` is the program's own, options too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the line where the program begins."""
        begin = _program_begins(args)
        ctx.meta[_PROGRAM] = args[begin:]
        return super().parse_args(ctx, args[:begin])


_PROGRAM = "beamlens.program"
_WITH_VALUE = ("--watchers", "--report")


def _program_begins(args: list[str]) -> int:
    index = 0
    while index < len(args):
        word = args[index]
        if word == "--" or word.startswith("-m") or not word.startswith("-"):
            return index
        index += 2 if word in _WITH_VALUE else 1
    return len(args)


@click.command(cls=_RunCommand, options_metavar="[OPTIONS] [--] script.py ARGS | -m MODULE ARGS | COMMAND ARGS")
@click.option(
    "--watchers", default=None, help=f"Names, separated by commas; by default BEAMLENS_WATCHERS or {DEFAULT_WATCHERS}."
)
@click.option("--report", "report_file", type=click.Path(dir_okay=False), help="Write the report to this file.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.pass_context
def run(ctx: click.Context, *, watchers: str | None, report_file: str | None, as_json: bool) -> None:
    """Watch a program that is not changed: a script, a module, or a command written in Python, such as gunicorn.

    Its output, exit code and signals are its own. Alerts go to standard error as they come, and at the end a report.
    Meanwhile `beamlens ps`, `top` and `ask` reach it. Workers that gunicorn, Celery or multiprocessing fork are watched
    each on its own; one reports when it has found something (with --report FILE always, to FILE.PID).
    """
    program = _program(ctx.meta[_PROGRAM])
    # Now, since the program may change the working directory.
    file = None if report_file is None else Path(report_file).resolve()
    if file is not None and not file.parent.is_dir():
        raise click.UsageError(f"there is no folder for the report {report_file!r}")
    from beamlens.application import instances

    prepare()
    watch = _Watch(_start(watchers), file, as_json=as_json)
    # After the program's own handlers of its exit, and after its threads, for which Python waits before.
    instances.before_exit(watch.end)
    program.run()


def _program(words: list[str]) -> Program:
    from beamlens.cli.program import Program

    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        text = "give a program: beamlens run -- script.py ARGS, -m MODULE ARGS, or a command such as gunicorn app:app"
        raise click.UsageError(text)
    if words[0].startswith("-m"):
        # As Python takes it: -m json.tool, or -mjson.tool.
        name, *arguments = [words[0][2:], *words[1:]] if len(words[0]) > 2 else (words[1:] or [""])
        if not name:
            raise click.UsageError("-m needs the name of a module")
        return Program.module(name, arguments)
    return Program.script(_script(words[0]), words[1:])


def _script(word: str) -> str:
    """A file, else a command such as ``gunicorn`` or ``celery``: the script that a shell would find."""
    from beamlens.cli.commands import NoPythonScript, find_command, is_program

    if not is_program(word):
        try:
            command = find_command(word)
        except NoPythonScript as error:
            raise click.UsageError(str(error)) from error
        if command is not None:
            return command
        if not Path(word).exists():
            raise click.UsageError(f"there is no file {word!r}, and no command of that name")
        raise click.UsageError(f"the folder {word!r} has no __main__.py")
    if not os.access(word, os.R_OK):
        raise click.UsageError(f"the file {word!r} cannot be read")
    return word


def _start(watchers: str | None) -> Beamlens:
    from beamlens.application import Beamlens
    from beamlens.errors import BeamlensError

    names = watchers if watchers is not None else os.environ.get("BEAMLENS_WATCHERS") or DEFAULT_WATCHERS
    try:
        entries = [name.strip() for name in names.split(",") if name.strip()]
        return Beamlens.start(watchers=entries, name=INSTANCE, control=True)
    except BeamlensError as error:
        raise click.UsageError(str(error)) from error


class _Watch:
    """Prints what is found while the program runs, and the report at its end."""

    def __init__(self, lens: Beamlens, report_file: Path | None, *, as_json: bool) -> None:
        from beamlens.telemetry import signal as event

        self._lens = lens
        self._file = report_file
        self._as_json = as_json
        self._pid = os.getpid()
        # They are printed here, so that the last resort of `logging` need not; the program's own handlers get them.
        logging.getLogger("beamlens.alerts").addHandler(logging.NullHandler())
        if lens.running:
            event("watcher.alert_fired").connect(self._alert)
            event("coordinator.insight_produced").connect(self._insight)

    def _alert(self, _sender: str, *, alert: Any, instance: str, **_metadata: Any) -> None:
        if instance == INSTANCE:
            self._say(f"{self._who()}: alert [{alert.severity}] {alert.watcher}/{alert.anomaly_type}: {alert.summary}")

    def _insight(self, _sender: str, *, insight: Any, instance: str, **_metadata: Any) -> None:
        if instance == INSTANCE:
            self._say(f"{self._who()}: insight [{insight.confidence} confidence]: {insight.summary}")

    @property
    def _in_worker(self) -> bool:
        return os.getpid() != self._pid

    def _who(self) -> str:
        return f"beamlens: worker {os.getpid()}" if self._in_worker else "beamlens"

    def _say(self, text: str) -> None:
        try:
            print(line(text), file=sys.__stderr__, flush=True)
        except (OSError, ValueError, AttributeError):  # the program closed it
            pass

    def end(self) -> None:
        """Report and stop; in a forked child only where it is watched too."""
        if not self._lens.running:
            return
        report = self._lens.report()
        # That a look was cut short here is no news: the program has ended.
        for name in ("beamlens_actors", "beamlens_supervision"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._lens.stop(1.0)
        if self._file is not None or not (self._in_worker and report.healthy):
            self._publish(report)

    def _publish(self, report: Report) -> None:
        from beamlens.application.report import report_lines

        found = report.to_dict()
        texts = [as_json_line(found)] if self._as_json else report_lines(lines(found))
        if self._file is not None:
            file = self._file.with_name(f"{self._file.name}.{os.getpid()}") if self._in_worker else self._file
            try:
                file.write_text("\n".join(texts) + "\n", encoding="utf-8")
                return
            except OSError as error:
                self._say(f"{self._who()}: the report could not be written: {error}")
        if self._in_worker:
            self._say(f"{self._who()} ends:")
        for text in texts:
            self._say(text)
