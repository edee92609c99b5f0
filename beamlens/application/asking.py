"""A question in words, asked from outside: what the Coordinator finds, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens.errors import BeamlensError, NotStarted
from beamlens.findings import AgentStatus, Insight, status
from beamlens_actors import AskTimeout, clock

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens

_LOOK_EVERY = 0.25
_ASK = 1.0


def ask(instance: Beamlens, question: str, seconds: float) -> dict[str, Any]:
    """Have the Coordinator look into it.

    Args:
        instance: Whose.
        question: In words, from the user.
        seconds: For the answer.

    Returns:
        ``answer`` (text), ``insights`` and ``findings`` (the alerts behind it) as maps, ``model``, ``cost`` in dollars,
        ``None`` where a model's price is not known.

    Raises:
        AskTimeout: The run did not end in time.
        NotStarted: The Coordinator does not run.
    """
    known, before = {one.id for one in instance.insights()}, instance.usage()
    _run(instance, question, seconds)
    found, after = [one for one in instance.insights() if one.id not in known], instance.usage()
    findings = instance.open_alerts()
    unknown = after["calls_of_unknown_cost"] > before["calls_of_unknown_cost"]
    return {
        "answer": _answer(instance, found),
        "insights": [one.model_dump(mode="json") for one in found or instance.insights()],
        "findings": [one.model_dump(mode="json") for one in findings],
        "model": instance.model,
        "cost": None if unknown else after["cost_usd"] - before["cost_usd"],
    }


def _run(instance: Beamlens, question: str, seconds: float) -> None:
    """Let the Coordinator run once for this question, and wait for the end of it."""
    from beamlens.coordinator.actor import RunRequest

    coordinator, deadline = instance.coordinator, clock.monotonic() + seconds
    if coordinator is None:
        raise NotStarted("the coordinator is being restarted; try again")
    before: AgentStatus = coordinator.ask(status, timeout=_ASK)
    coordinator.tell(RunRequest("control", "a user asked", question))
    # One that is under way does not know of the question.
    wanted = before.runs + (2 if before.running else 1)
    while True:
        if clock.monotonic() + _LOOK_EVERY > deadline:
            raise AskTimeout(f"the coordinator did not end its run within {seconds:g} s")
        clock.sleep(_LOOK_EVERY)
        now: AgentStatus = coordinator.ask(status, timeout=_ASK)
        if now.runs >= wanted and not now.running:
            return
        if not instance.running:
            raise BeamlensError(f"the Beamlens instance {instance.name!r} was stopped")


def _answer(instance: Beamlens, found: list[Insight]) -> str:
    if not found:
        return f"No new insight. {instance.report()}"
    return "\n".join(one.root_cause_hypothesis or one.summary for one in found)
