"""The Coordinator's tools that reach operators, and those that set its pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from beamlens.agent import Tool, ToolError
from beamlens.errors import BeamlensError
from beamlens.findings.tools import Arguments, Line, Word
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens.coordinator.tools import Desk

MESSAGE_TIMEOUT = 30.0
LONGEST_WAIT = 60.0
SCHEDULE_BOUNDS = (1_000, 86_400_000)
MOST_IN_A_CHAIN = 10
_OPERATOR_ITERATIONS = 25


class InvokeOperators(Arguments):
    """Ask operators to look into their domains, all at once. Their findings come as alerts while they work."""

    operators: list[Word] = Field(description="Names, as listed in the system prompt.")
    context: Line | None = Field(default=None, description="What they are to look for; facts help them most.")


class MessageOperator(Arguments):
    """Ask one operator a question and read its answer: a summary, findings and concerns."""

    operator: Word
    message: Line


class GetOperatorStatuses(Arguments):
    """How the operators of this run are: at work, ended, or broken off."""


class WaitForOperators(Arguments):
    """Wait; ended early by the first news of an operator."""

    ms: Annotated[int, Field(ge=0)] = Field(description=f"Milliseconds, at most {LONGEST_WAIT * 1000:.0f}.")


class Schedule(Arguments):
    """End this run, and look again later: for what develops slowly."""

    ms: Annotated[int, Field(ge=SCHEDULE_BOUNDS[0], le=SCHEDULE_BOUNDS[1])] = Field(
        description="Milliseconds, a second to a day."
    )
    reason: Line = Field(description="What to look for then.")


def team_tools(desk: Desk) -> list[Tool]:
    """invoke_operators, message_operator, get_operator_statuses, wait, schedule."""
    return [
        Tool("invoke_operators", lambda a: _invoke(desk, a), InvokeOperators),
        Tool(
            "message_operator",
            lambda a: _message(desk, a),
            MessageOperator,
            timeout=MESSAGE_TIMEOUT + 5.0,
            trust="untrusted",
            source="operator",
        ),
        Tool(
            "get_operator_statuses",
            lambda _a: _statuses(desk),
            GetOperatorStatuses,
            idempotent=True,
        ),
        Tool("wait", lambda a: _wait(desk, a), WaitForOperators, timeout=LONGEST_WAIT + 10.0),
        Tool("schedule", lambda a: _schedule(desk, a), Schedule, ends_run=True),
    ]


def _invoke(desk: Desk, arguments: InvokeOperators) -> dict[str, Any]:
    if not arguments.operators:
        raise ToolError(f"operators is empty; there are: {', '.join(desk.team.available()) or 'none'}")
    context = {"reason": arguments.context or desk.question or "a look was asked for"}
    desk.emit("invoke_operators", operators=list(arguments.operators))
    started, refused = desk.team.invoke(
        arguments.operators, context, max_iterations=_OPERATOR_ITERATIONS, deadline=desk.time_left()
    )
    for name, reason in refused.items():
        desk.emit("operator_not_started", operator=name, reason=reason)
    if not started:
        raise ToolError("none was started: " + "; ".join(f"{name}: {reason}" for name, reason in refused.items()))
    told: dict[str, Any] = {"started": started, "count": len(started)}
    if refused:
        told["refused"] = refused
    return told


def _message(desk: Desk, arguments: MessageOperator) -> dict[str, Any]:
    desk.emit("message_operator", operator=arguments.operator)
    available = desk.team.available()
    if arguments.operator not in available:
        raise ToolError(f"no operator is named {arguments.operator!r}; there are: {', '.join(available) or 'none'}")
    try:
        answer = desk.team.message(arguments.operator, arguments.message, MESSAGE_TIMEOUT)
    except TimeoutError as late:
        raise ToolError(f"operator {arguments.operator} did not answer within {MESSAGE_TIMEOUT:g} s") from late
    except BeamlensError as error:
        raise ToolError(f"operator {arguments.operator} did not answer: ", str(error)) from error
    return {
        "operator": answer.domain,
        "state": answer.state,
        "iteration": answer.iteration,
        "summary": answer.response.summary,
        "findings": list(answer.response.findings),
        "concerns": list(answer.response.concerns),
    }


def _statuses(desk: Desk) -> list[dict[str, Any]]:
    rows = desk.team.statuses()
    desk.emit("get_operator_statuses", {"count": len(rows)})
    return rows


def _wait(desk: Desk, arguments: WaitForOperators) -> dict[str, Any]:
    began = clock.monotonic()
    seconds = min(LONGEST_WAIT, arguments.ms / 1000)
    desk.emit("wait", {"seconds": seconds})
    woken = desk.team.wait_for_news(seconds, desk.run.abort)
    desk.run.abort.raise_if_aborted()
    waited = round((clock.monotonic() - began) * 1000)
    return {"waited_ms": waited, "woken_by_operators": woken, "at_work": list(desk.team.running())}


def _schedule(desk: Desk, arguments: Schedule) -> dict[str, Any]:
    at_work = list(desk.team.running())
    if at_work:
        desk.emit("schedule_rejected", {"running_operator_count": len(at_work)})
        raise ToolError(f"operators are at work: {', '.join(at_work)}; wait for them, or see get_operator_statuses")
    if desk.chain >= MOST_IN_A_CHAIN:
        desk.emit("schedule_rejected", {"running_operator_count": 0})
        raise ToolError(f"{MOST_IN_A_CHAIN} runs in a row have scheduled the next one; come to an end with done")
    seconds = arguments.ms / 1000
    desk.emit("schedule", {"seconds": seconds}, reason=arguments.reason, trust="untrusted")
    return {"seconds": seconds, "reason": arguments.reason}
