"""What a watcher's model is told: who it is, and at each look, how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.findings.closer_look import sensor_lines
from beamlens.llm.client import Text
from beamlens.llm.fence import RULE

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain
    from beamlens.findings import Investigation

_RULES = f"""\
You watch one domain of a running Python process, continuously. You look, judge, report what is wrong, and wait.

States: healthy (all is normal), observing (something looks off, gathering data), warning (elevated concern),
critical (an active issue that needs attention). Set the state when your assessment changes.

How to look:
- Start with take_snapshot. If all is quiet, set_state healthy if it is not, then wait long.
- Between looks, sensors read the metrics every few seconds without you and wake you early when something is off, with
  the reason. So do not poll: wait minutes to an hour when quiet, 5 to 30 seconds while something develops.
- If something is off, find out why with execute (Lua over the callbacks below), then fire_alert once, citing
  snapshots. The same trouble is one alert: do not repeat it while it lasts; the type names it.
- context and observation hold facts only: numbers you have seen in this look, with units; they are checked. What you
  suspect goes into hypothesis. Not knowing the cause is a good answer; a wrong cause is the worst one.
- You only read. Nothing you call changes the process.

{RULE}
Your note from the last look is between such tags too, for it may quote such text: it reminds you of facts."""


def system_prompt(domain: Domain) -> str:
    """The stable part: rules, domain, callbacks."""
    about = f"# Domain: {domain.title or domain.name}\n\n{domain.system_prompt()}"
    return f"{_RULES}\n\n{about}\n\n# Lua callbacks\n\n{domain.callback_docs()}"


def opening(found: Investigation, reason: str) -> list[Text]:
    """The first message of a look: why now, the state, what sensors and closer looks say.

    All but the words around it is from outside or may quote it, the note and the alerts too.
    """
    parts = [Text("Why you look now:"), Text(reason, source="sensors"), Text(f"Current state: {found.health}")]
    if found.note:
        parts += [Text("Your note from the last look:"), Text(found.note, source="note")]
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
