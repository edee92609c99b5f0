"""What a watcher's model is told: who it is, and at each look, how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.findings.closer_look import sensor_lines
from beamlens.llm.client import Text
from beamlens.llm.fence import RULE

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain
    from beamlens.findings import Investigation

_RULES = """\
You watch one domain of a running Python process, continuously. You look, judge, report what is wrong, and wait.

States: healthy (all is normal), observing (something looks off, gathering data), warning (elevated concern),
critical (an active issue that needs attention). Set the state when your assessment changes.

How to look:
- Start with take_snapshot. If all is quiet, set_state healthy if it is not, then wait.
{pace}
- If something is off, find out why with execute (Lua over the callbacks below), then fire_alert once, citing
  snapshots. The same trouble is one alert: do not repeat it while it lasts; the type names it.
- context and observation hold facts only: numbers you have seen in this look, with units; they are checked. What you
  suspect goes into hypothesis. Not knowing the cause is a good answer; a wrong cause is the worst one.
- You only read. Nothing you call changes the process.

{fence}
Your note from the last look is between such tags too, for it may quote such text: it reminds you of facts."""

_SENSORS = """\
- Between looks, sensors read the metrics every few seconds without you and wake you early when something is off, with
  the reason. So do not poll: wait 8 hours (28800000 ms) when all is quiet, 5 to 30 seconds while something develops.
- Say in the note of wait what you watch for: the rest of the conversation is not kept."""

_NO_SENSORS = """\
- No sensor reads these metrics between looks: what you do not look at, nobody sees. Wait 15 minutes (900000 ms) when
  all is quiet, 5 to 30 seconds while something develops.
- Say in the note of wait what you watch for: the rest of the conversation is not kept."""

_CONTINUOUS = """\
- You set the pace: nothing wakes you, and the next look follows at once when you end one without wait. Wait 30 seconds
  when all is quiet, 5 seconds on a concern, 1 second while something is critical.
- Older parts of the conversation are summarised. Say in the note of wait what you watch for: it stays word for word."""


def system_prompt(domain: Domain, *, continuous: bool = False) -> str:
    """The stable part: rules, domain, callbacks."""
    pace = _CONTINUOUS if continuous else _SENSORS if domain.all_sensors() else _NO_SENSORS
    rules = _RULES.format(pace=pace, fence=RULE)
    about = f"# Domain: {domain.title or domain.name}\n\n{domain.system_prompt()}"
    return f"{rules}\n\n{about}\n\n# Lua callbacks\n\n{domain.callback_docs()}"


def opening(found: Investigation, reason: str) -> list[Text]:
    """The first message of a look: why now, the state, what sensors and closer looks say.

    All but the words around it is from outside or may quote it, the note and the alerts too.
    """
    parts = [Text("Why you look now:"), Text(reason, source="sensors"), Text(f"Current state: {found.health}")]
    parts += noted(found)
    if found.sensors:
        lines = sensor_lines(found.sensors, found.evidence)
        parts += [Text("Active sensors:"), Text("\n".join(lines), source="sensors")]
    else:
        parts.append(Text("Active sensors: none"))
    if alerts := found.alerts()[-5:]:
        lines = [f"- {a.detected_at:%H:%M:%S} {a.severity} {a.anomaly_type}: {a.observation}" for a in alerts]
        parts += [Text("Alerts that you fired (oldest first):"), Text("\n".join(lines), source="alerts")]
    if excerpt := found.domain.excerpt(5) if found.sensors else []:
        parts += [Text("The latest that the domain recorded:"), Text("\n".join(excerpt), source=found.domain.name)]
    return parts


def noted(found: Investigation) -> list[Text]:
    """What the model wanted to remember."""
    return [Text("Your note from the last look:"), Text(found.note, source="note")] if found.note else []
