"""What the Coordinator's model is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from beamlens.llm.client import Text
from beamlens.llm.fence import RULE

if TYPE_CHECKING:
    from beamlens.coordinator.run import CoordinatorRun

NAME = "coordinator"
_RULES = """\
You correlate alerts from the watchers of one running Python process into insights, and you can ask operators to look
into their domains. Each watcher and operator sees one domain (runtime, logs, exceptions, ...); you see them all.

- Alerts: start with get_alerts. Alerts that belong together go into one insight; an alert that stands alone gets one of
  its own. Resolve an alert without an insight only if it is no trouble after all, and say why.
- A question or a reason without alerts: invoke_operators for the domains that can tell, with what they are to look for;
  wait for them; then judge what they found. Do not ask all of them if a few can tell.
- correlation_type: temporal (near in time, perhaps related), causal (one caused another), symptomatic (they share a
  hidden cause).
- Observations and evidence are facts, hypotheses are speculation: match facts, never hypotheses, and quote them word
  for word. Evidence marked conclusive explains its symptom by amount and time; supporting evidence fits but does not
  prove; excludes speaks against a cause; context speaks for none. Where numbers_verified is false, an observation has
  numbers that its evidence has not: rest no cause on them.
- hypothesis_grounded: true only if alerts of two watchers or operators, or conclusive evidence, carry it.
- Name a root cause only if facts carry it. If you do not know it, leave it out and list under ruled_out what the facts
  exclude: that is a good answer. A wrong cause stated with high confidence is the worst one.
- An operator that broke off has not said that all is well.
- End with done, when no operator is at work and every alert is in an insight or resolved. schedule ends the run too,
  and begins another one later: only for what develops slowly.
"""


def system_prompt(operators: Mapping[str, str]) -> str:
    """The stable part: rules, and whom it may ask."""
    listed = "\n".join(f"- {name}: {about}" for name, about in operators.items()) or "none in this run"
    return f"{_RULES}\n# Operators\n\n{listed}\n\n{RULE}"


def opening(run: CoordinatorRun) -> list[Text]:
    """The first message of a run.

    What an insight says quotes what was observed, and what a caller says may too: it is text from outside.
    """
    alerts, job = run.alerts(), run.job
    parts = [Text(f"{len(alerts)} unread alerts wait. Process them.")] if alerts or not job.question else []
    if earlier := [insight.summary for insight in run.earlier]:
        summaries = "\n".join(f"- {summary}" for summary in earlier)
        parts += [Text("Your latest insights, newest last:"), Text(summaries, source="insights")]
    if job.asked_by != "inbox":
        parts.append(Text(f"This run was asked for by: {job.asked_by}."))
    if job.question:
        parts += [Text("Why:"), Text(job.question, source="caller")]
    if job.asked and not alerts:
        parts.append(Text("No alert is open. Ask the operators that can tell."))
    return parts
