"""The strategy for questions: choose operators, let them look, and answer from what they found. Always answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from beamlens.agent import Tool, ToolError
from beamlens.findings import Alert, Insight, OperatorResult
from beamlens.findings.tools import Arguments, Line, Word
from beamlens.llm.client import Text
from beamlens.llm.fence import RULE
from beamlens_actors import Aborted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from beamlens.coordinator.run import CoordinatorRun

_ITERATIONS = 3
_GATHER_SHARE = 0.7
_MOST_OPERATORS = 6
_SNAPSHOT_TEXT = 4000
_ALERTS_SHOWN = 50
_GENERAL = "How is this process, and what deserves attention?"

_CLASSIFY = """\
You decide who can answer a question about a running Python process. The operators, each with what it watches:
{operators}

Call `classify` once: the fewest operators that can answer, at most six, and what they are to look for. intent is
"question" when somebody wants to know how things are, "investigation" when something is wrong and the cause is wanted.
"""
_SYNTHESIZE = """\
You answer a question about a running Python process from what its operators found. Rest every statement on the facts
that follow; numbers only from there. Say what is not known, and which operator broke off: what it did not find says
nothing. No speculation. Call `answer` once.
"""


class Classify(Arguments):
    """Say who is to look, and for what."""

    intent: Literal["question", "investigation"]
    operators: list[Word] = Field(description="Names of operators.")
    operator_context: Line = Field(description="What they are to look for.")


class Answer(Arguments):
    """Answer the question."""

    answer: Line = Field(description="The answer, in a few sentences, from the facts.")


class PipelineStrategy:
    """Classify, gather, synthesize: two short model calls of its own, whatever the operators take.

    It ends in one insight, also when nothing was found: then it says what was looked at.
    """

    name = "pipeline"

    def run(self, run: CoordinatorRun, /) -> str:
        """See `Strategy.run`."""
        question = run.job.question or _GENERAL
        self._gather(run, self._classify(run, question))
        run.abort.raise_if_aborted()
        return self._synthesize(run, question)

    def _classify(self, run: CoordinatorRun, question: str) -> Classify:
        available = run.team.available()
        run.emit("pipeline_classify_start")
        chosen = Classify(
            intent="investigation", operators=list(available)[:_MOST_OPERATORS], operator_context=question
        )
        if available:
            listed = "\n".join(f"- {name}: {about}" for name, about in available.items())
            outcome = run.ask(
                f"{_CLASSIFY.format(operators=listed)}\n{RULE}",
                [Tool("classify", lambda arguments: _checked(arguments, available), Classify, ends_run=True)],
                [Text("The question:"), Text(question, source="caller")],
                facts=lambda: {**run.facts(), "role": "classify", "question": question},
                max_iterations=_ITERATIONS,
            )
            if outcome.stopped_by == "classify":
                chosen = Classify(**outcome.ending)
        run.emit("pipeline_classify_complete", intent=chosen.intent, operators=list(chosen.operators))
        return chosen

    def _gather(self, run: CoordinatorRun, chosen: Classify) -> None:
        if not chosen.operators:
            return
        patience = _GATHER_SHARE * run.time_left()
        run.emit("invoke_operators", operators=list(chosen.operators))
        _started, refused = run.team.invoke(
            chosen.operators, {"reason": chosen.operator_context}, max_iterations=25, deadline=patience
        )
        for name, reason in refused.items():
            run.emit("operator_not_started", operator=name, reason=reason)
        # A moment more than they have themselves: each then says by itself that its time was up.
        run.team.wait(patience + 1.0, run.abort)

    def _synthesize(self, run: CoordinatorRun, question: str) -> str:
        alerts, results = run.alerts(), run.team.results()
        run.emit("pipeline_synthesize_start", {"alerts": len(alerts), "operators": len(results)})
        outcome = run.ask(
            f"{_SYNTHESIZE}\n{RULE}",
            [Tool("answer", lambda arguments: arguments.answer, Answer, ends_run=True)],
            [
                Text("The question:"),
                Text(question, source="caller"),
                Text("What the operators found:"),
                Text(json.dumps(_found(alerts, results), default=str), source="operators"),
            ],
            facts=lambda: {**run.facts(), "role": "synthesize", "question": question},
            max_iterations=_ITERATIONS,
        )
        if outcome.stopped_by in ("aborted", "deadline"):
            raise Aborted(run.abort.reason)
        if outcome.stopped_by != "answer":
            return outcome.stopped_by
        run.keep(_insight(run, str(outcome.ending), alerts))
        run.emit("pipeline_synthesize_complete")
        run.emit("done", {"unread_count": len(run.alerts())}, has_unread=bool(run.alerts()))
        return "done"


def _checked(arguments: Classify, available: Mapping[str, str]) -> dict[str, Any]:
    if unknown := [name for name in arguments.operators if name not in available]:
        raise ToolError(f"no operator is named {', '.join(unknown)}; there are: {', '.join(available)}")
    if len(arguments.operators) > _MOST_OPERATORS:
        raise ToolError(f"{len(arguments.operators)} operators are too many; choose {_MOST_OPERATORS} at most")
    return arguments.model_dump()


def _found(alerts: list[Alert], results: list[OperatorResult]) -> dict[str, Any]:
    """Facts only: hypotheses are withheld, so that the answer rests on none."""
    told = [
        {
            "operator": alert.watcher,
            "severity": alert.severity,
            "context": alert.context,
            "observation": alert.observation,
            "evidence": [f"{piece.strength.value} for {piece.cause}: {piece.text}" for piece in alert.evidence],
            "detected_at": alert.detected_at.isoformat(),
        }
        for alert in alerts[-_ALERTS_SHOWN:]
    ]
    looked = [
        {
            "operator": result.name,
            "state": result.state,
            "broke_off": f"{result.stopped_by} {result.error}".strip() if result.failed else None,
            # Where nothing was found, the numbers themselves are the evidence.
            "snapshot": json.dumps(result.snapshots[-1].data)[:_SNAPSHOT_TEXT] if result.snapshots else None,
        }
        for result in results
    ]
    return {"alerts": told, "operators": looked}


def _insight(run: CoordinatorRun, answer: str, alerts: list[Alert]) -> Insight:
    return Insight(
        alert_ids=tuple(alert.id for alert in alerts),
        correlation_type="symptomatic",
        summary=answer,
        matched_observations=tuple(alert.observation for alert in alerts[-_ALERTS_SHOWN:]),
        hypothesis_grounded=False,
        confidence="medium",
        trace_id=run.trace_id,
        model=run.model,
    )
