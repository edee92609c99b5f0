"""A question in words, asked from outside: what the Coordinator finds, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens.application.coordinator import Coordinator
from beamlens_actors import AskTimeout

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens
    from beamlens.control.protocol import Terms

_STRATEGY = "pipeline"
"""The one that always answers."""

_ENDING = 2.0
"""Seconds that the run is given to end before who asks is told that time is up."""


def ask(instance: Beamlens, question: str, terms: Terms) -> dict[str, Any]:
    """Have the Coordinator look into it.

    Args:
        instance: Whose.
        question: In words, from the user.
        terms: How long it may take; a user who leaves takes the run along.

    Returns:
        ``answer`` (text), ``insights`` and ``findings`` (the alerts behind it) as maps, ``model``, ``cost`` in dollars
        (``None`` where a model's price is not known), ``stopped_by``.

    Raises:
        AskTimeout: The run did not end in time, and was ended.
        BeamlensError: It cannot run; says why.
    """
    deadline = max(terms.seconds - _ENDING, terms.seconds / 2)
    handle = Coordinator.run_async({"reason": question}, strategy=_STRATEGY, deadline=deadline, instance=instance)
    terms.abort.on_abort(handle.cancel)
    try:
        result = handle.result(terms.seconds)
    except TimeoutError as error:
        handle.cancel()
        raise AskTimeout(f"no answer within {deadline:g} s") from error
    alerts = (*result.alerts, *(alert for each in result.operator_results for alert in each.alerts))
    costs = [result.cost_usd, *(each.cost_usd for each in result.operator_results)]
    return {
        "answer": "\n".join(one.summary for one in result.insights) or f"No answer: {result.stopped_by} {result.error}",
        "insights": [one.model_dump(mode="json") for one in result.insights],
        "findings": [one.model_dump(mode="json") for one in {alert.id: alert for alert in alerts}.values()],
        "model": result.model or instance.model,
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
        "stopped_by": result.stopped_by,
    }
