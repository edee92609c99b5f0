"""How a run of the Coordinator goes about its work: a contract, and the two that come with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from beamlens.errors import ConfigError

if TYPE_CHECKING:
    from beamlens.coordinator.run import CoordinatorRun

NAMES = ("agent_loop", "pipeline")


@runtime_checkable
class Strategy(Protocol):
    """One way to work. The Coordinator keeps queue, deadline, callers and inbox; a strategy only decides.

    Attributes:
        name: What reports and errors call it.
    """

    name: str

    def run(self, run: CoordinatorRun, /) -> str:
        """Work, on a task thread, until there is nothing to do or `run.abort` fires.

        Returns:
            What ended it, in a word: ``done``, or the limit that was reached. What it raises is the caller's answer.
        """
        ...


def resolve(strategy: Any) -> Strategy:
    """A strategy by name, or one that is given as an object.

    Raises:
        ConfigError: Neither; lists the names.
    """
    if strategy == "agent_loop":
        from beamlens.coordinator.strategies.agent_loop import AgentLoopStrategy

        return AgentLoopStrategy()
    if strategy == "pipeline":
        from beamlens.coordinator.strategies.pipeline import PipelineStrategy

        return PipelineStrategy()
    if isinstance(strategy, Strategy) and not isinstance(strategy, type) and callable(strategy.run):
        return strategy
    choices = ", ".join(NAMES)
    text = f"strategy {strategy!r} does not exist; the choices are: {choices}, or an object with a name and run(run)"
    raise ConfigError(text, field="strategy")


__all__ = ["NAMES", "Strategy", "resolve"]
