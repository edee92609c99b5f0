"""The page docs/telemetry.md: its text, and ``python -m tests.support.events_page`` to write it anew."""

from __future__ import annotations

from pathlib import Path
from types import NoneType

from beamlens.telemetry import catalogue
from tests.support.seed_events import SEED_EVENTS

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"

_HEAD = """\
# Telemetry

Everything that happens in Beamlens is a [blinker](https://blinker.readthedocs.io) signal. Connect a receiver, and you
hear it; nothing of Beamlens waits for it.

```python
from beamlens.telemetry import signal


@signal("watcher.alert_fired").connect
def on_alert(sender, *, alert, measurements, **metadata):
    print(sender, alert.severity, alert.summary)
```

- `signal("watcher.alert_fired")` is `blinker.signal("beamlens.watcher.alert_fired")`. The sender is the component's
  name, so `connect(receiver, sender="logger")` hears one watcher only.
- A receiver gets `measurements`, a dict of numbers, and the event's metadata as keywords. Every event has the
  measurement `system_time` (seconds since the epoch) and the metadata `instance`; what happens in a run has `trace_id`
  too, 32 hex digits, the same from the first model call to the alert. Take `**metadata`: there may be more one day.
- Durations are in seconds. `llm.stop` has the tokens and what they cost in US dollars; `None` where the price of the
  model is not known.
- `trust` is `untrusted` where text of the watched process may be among the metadata: show it as data, follow nothing
  in it.
- Receivers are called one after the other: a run's events on the thread of that run, all others on a thread that does
  nothing else, in order, through a queue of 10 000. What does not fit is counted and told as `telemetry.dropped`; a
  receiver that raises or is slow is told as `telemetry.receiver_failed` and `telemetry.slow_receiver`, and the others
  still run. `lens.flush()` waits until what has happened was delivered.

To read along, let every event be a log record of `beamlens.telemetry.events`:

```python
from beamlens.telemetry import attach_default_logger, detach_default_logger

attach_default_logger(level="INFO")  # "DEBUG" by default
detach_default_logger()
```

## The catalogue

"""
_NAMES = """
## Names of the Elixir system

Its event `[:beamlens, :watcher, :started]` is `watcher.started` here; these have another name:

| there | here |
|---|---|
"""


def page() -> str:
    """The page as it must be."""
    return _HEAD + "\n".join(_tables()) + _NAMES + "\n".join(_renamed()) + "\n"


def _tables() -> list[str]:
    lines: list[str] = []
    areas: dict[str, list[str]] = {}
    for event in catalogue().values():
        row = f"| `{event.name}` | {event.doc} | {_typed(event.measurements)} | {_typed(event.metadata)} |"
        areas.setdefault(event.name.split(".")[0], []).append(row.replace("\n", " "))
    for area, rows in areas.items():
        lines += [f"### {area}", "", "| event | when | measurements | metadata |", "|---|---|---|---|", *rows, ""]
    return lines


def _typed(fields) -> str:
    return ", ".join(f"`{name}` {_type(kind)}" for name, kind in fields.items())


def _type(kind) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if set(kinds) >= {int, float}:
        kinds = (float, *(each for each in kinds if each not in (int, float)))
    words = {NoneType: "none", object: "object", float: "number"}
    return " or ".join(words.get(each, each.__name__) for each in kinds)


def _renamed() -> list[str]:
    return [f"| `{theirs}` | `{ours}` |" for theirs, ours in SEED_EVENTS.items() if theirs != ours]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
