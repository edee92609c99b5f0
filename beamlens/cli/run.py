"""`beamlens run`: watch an unchanged program."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.interrupt import prepare
from beamlens.cli.text import safe

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


@click.command(cls=_RunCommand, options_metavar="[OPTIONS] [--] script.py ARGS | -m MODULE ARGS")
@click.option(
    "--watchers", default=None, help=f"Names, separated by commas; by default BEAMLENS_WATCHERS or {DEFAULT_WATCHERS}."
)
@click.option("--report", "report_file", type=click.Path(dir_okay=False), help="Write the report to this file.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.pass_context
def run(ctx: click.Context, *, watchers: str | None, report_file: str | None, as_json: bool) -> None:
    """Watch a program that is not changed.

    Its output, exit code and signals are its own. Alerts go to standard error as they come, and at the end a report.
    """
    program = _program(ctx.meta[_PROGRAM])
    # Now, since the program may change the working directory.
    file = None if report_file is None else Path(report_file).resolve()
    if file is not None and not file.parent.is_dir():
        raise click.UsageError(f"there is no folder for the report {report_file!r}")
    prepare()
    watch = _Watch(_start(watchers), file, as_json=as_json)
    # At exit: after the program's own handlers, and after its threads, for which Python waits before.
    atexit.register(watch.end)
    program.run()


def _program(words: list[str]) -> Program:
    from beamlens.cli.program import Program

    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        raise click.UsageError("give a program: beamlens run -- script.py ARGS, or -m MODULE ARGS")
    if words[0].startswith("-m"):
        # As Python takes it: -m json.tool, or -mjson.tool.
        name, *arguments = [words[0][2:], *words[1:]] if len(words[0]) > 2 else (words[1:] or [""])
        if not name:
            raise click.UsageError("-m needs the name of a module")
        return Program.module(name, arguments)
    if not Path(words[0]).exists():
        raise click.UsageError(f"there is no file {words[0]!r}")
    if not os.access(words[0], os.R_OK):
        raise click.UsageError(f"the file {words[0]!r} cannot be read")
    return Program.script(words[0], words[1:])


def _start(watchers: str | None) -> Beamlens:
    from beamlens.application import Beamlens
    from beamlens.errors import BeamlensError

    names = watchers if watchers is not None else os.environ.get("BEAMLENS_WATCHERS") or DEFAULT_WATCHERS
    try:
        return Beamlens.start(watchers=[name.strip() for name in names.split(",") if name.strip()], name=INSTANCE)
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
            self._say(f"beamlens: alert [{alert.severity}] {alert.watcher}/{alert.anomaly_type}: {alert.summary}")

    def _insight(self, _sender: str, *, insight: Any, instance: str, **_metadata: Any) -> None:
        if instance == INSTANCE:
            self._say(f"beamlens: insight [{insight.confidence} confidence]: {insight.summary}")

    def _say(self, text: str) -> None:
        try:
            print(safe(text), file=sys.__stderr__, flush=True)
        except (OSError, ValueError, AttributeError):  # the program closed it
            pass

    def end(self) -> None:
        """Report and stop; not in a forked child of the program's."""
        if os.getpid() != self._pid or not self._lens.running:
            return
        report = self._lens.report()
        # That a look was cut short here is no news: the program has ended.
        for name in ("beamlens_actors", "beamlens_supervision"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._lens.stop(1.0)
        self._publish(report)

    def _publish(self, report: Report) -> None:
        text = json.dumps(report.to_dict()) if self._as_json else str(report)
        if self._file is None:
            self._say(text)
            return
        try:
            self._file.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            self._say(f"beamlens: the report could not be written: {error}")
            self._say(text)
