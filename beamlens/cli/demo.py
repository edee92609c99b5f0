"""`beamlens demo`: a faulty sample service, watched."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from beamlens.cli.text import safe

if TYPE_CHECKING:
    from beamlens.demo import DemoResult, Injection

_DEFAULT_SEED = 1


@click.command()
@click.option("--list", "list_faults", is_flag=True, help="Print the faults with their kinds, and end.")
@click.option("--fault", metavar="NAME", help="The fault; by default the seed chooses.")
@click.option("--no-fault", is_flag=True, help="Let the service run healthily.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Chooses fault, variant and parameters.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines; the last one is the result.")
def demo(*, list_faults: bool, fault: str | None, no_fault: bool, seed: int | None, as_json: bool) -> None:
    """Watch a sample service go wrong, and see the cause named. Needs no key; ends by itself in under 30 seconds."""
    from beamlens.demo import FAULTS, choose
    from beamlens.errors import ConfigError

    if list_faults:
        _list(as_json=as_json)
        return
    if fault is not None and no_fault:
        raise click.UsageError("--fault and --no-fault exclude each other")
    if seed is None:
        seed = _DEFAULT_SEED
        # Without a choice the first fault is shown, which is the one that people know.
        fault = fault or (None if no_fault else FAULTS[0].name)
    try:
        injection = None if no_fault else choose(fault, seed)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if os.environ.get("BEAMLENS_DISABLED", "") not in ("", "0"):
        raise click.UsageError("BEAMLENS_DISABLED is set: there would be nothing to see")
    code = _run(injection, seed, as_json=as_json)
    if code:
        sys.exit(code)


def _list(*, as_json: bool) -> None:
    from beamlens.demo import FAULTS

    for fault in FAULTS:
        if as_json:
            row = {"name": fault.name, "kind": fault.kind.value, "description": fault.description}
            click.echo(json.dumps(row))
        else:
            click.echo(f"{fault.name:20} {fault.kind.value:20} {fault.description}")


def _run(injection: Injection | None, seed: int, *, as_json: bool) -> int:
    from beamlens.cli.demo_views import JsonView, PlainView
    from beamlens.demo import run_demo

    view: Any
    if as_json:
        view = JsonView()
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from beamlens.cli.demo_live import LiveView

        view = LiveView(injection)
    else:
        view = PlainView(injection)
    with _quiet_logs(view), _stoppable() as stop, view:

        def on_event(name: str, value: Any) -> None:
            try:
                view.event(name, value)
            except BrokenPipeError:  # nobody reads any more
                stop.set()

        result = run_demo(injection, seed, on_event=on_event, stop=stop)
        view.finish(result, interrupted=stop.is_set())
    return stop.exit_code


_SLICE = 0.2


class _Stop(threading.Event):
    """Is set when the demo is to end before its time.

    Attributes:
        exit_code: 0, or as shells tell of a signal: 128 and its number.
    """

    exit_code = 0

    def is_set(self) -> bool:
        """Whether it is to end; the handler of a signal sets no more than the exit code."""
        return self.exit_code != 0 or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait in slices.

        A signal may be given to any thread, and then Python runs its handler when the main thread next comes by. And a
        handler must not take the lock of an event for which the thread that it interrupts is about to wait.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True


@contextmanager
def _stoppable() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM end the demo in order; a second one at once."""
    stop = _Stop()

    def on_signal(number: int, _frame: object) -> None:
        if stop.exit_code:
            os._exit(128 + number)
        stop.exit_code = 128 + number

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quiet_logs(view: Any) -> Iterator[None]:
    """The shop's and our records go to the view, not to the screen between its lines."""
    handler = view.handler
    loggers = [logging.getLogger(name) for name in ("shop", "beamlens", "beamlens_actors", "beamlens_supervision")]
    before = [(logger, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, propagate, level in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)


def summary_lines(result: DemoResult, *, interrupted: bool) -> list[str]:
    """The end of a run, for people."""
    if interrupted:
        return [f"stopped after {result.seconds:.0f} s"]
    lines = []
    if result.cause is not None:
        lines.append(f"cause ({result.cause.confidence} confidence): {safe(result.cause.text)}")
        if result.cause.place is not None:
            place = result.cause.place
            lines.append(f"at: {place.file}:{place.line}")
    elif result.insights:
        lines.append(f"cause not known: {safe(result.insights[-1].summary)}")
    elif not result.alerts:
        lines.append("healthy: no alert")
    if result.truth is not None:
        lines.append(f"injected: {result.truth.kind} at {result.truth.file}:{result.truth.line}")
    lines.append(f"{len(result.alerts)} alerts, {len(result.insights)} insights in {result.seconds:.1f} s")
    return lines
