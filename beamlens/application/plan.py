"""What an instance is to be: checked whole before anything is started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

from beamlens.agent.budget import Budget
from beamlens.agent.compaction import CompactionPolicy
from beamlens.application.arguments import choice, flag, seconds
from beamlens.application.forks import AfterFork
from beamlens.application.specs import Operated, Watched, resolve, resolve_operators
from beamlens.config import Environment, state_folder
from beamlens.errors import ConfigError
from beamlens.llm.registry import ClientRegistry
from beamlens.redact import Redactor

BACKENDS = ("threads",)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was checked.

    Attributes:
        name: The instance's name.
        watched: What is watched from the start.
        operators: What can be asked.
        clients: Who analyses.
        redactor: What must not leave the process.
        budget: What models may cost.
        llm_timeout: Seconds for one model call.
        compaction: When a conversation is shortened.
        state_dir: The folder of what outlives the process; ``None``: nothing does.
        control: Whether it can be asked from outside.
        after_fork: What becomes of it in a forked child.
    """

    name: str
    watched: tuple[Watched, ...]
    operators: tuple[Operated, ...]
    clients: ClientRegistry
    redactor: Redactor
    budget: Budget | None
    llm_timeout: float
    compaction: CompactionPolicy
    state_dir: Path | None = None
    control: bool = False
    after_fork: AfterFork = "auto"

    @classmethod
    def check(
        cls,
        environment: Environment,
        *,
        watchers: Iterable[Any],
        operators: Iterable[Any] | None,
        client_registry: Any,
        backend: object,
        name: object,
        budget: object,
        redact: Iterable[str],
        llm_timeout: object,
        compaction: CompactionPolicy,
        state_dir: object,
        control: object,
        after_fork: Any,
    ) -> Self:
        """Check the arguments of `Beamlens.start`, and what the environment says where they say nothing.

        Raises:
            ConfigError: A value is wrong; names the field and the choices.
        """
        checked_name = _name(name)
        choice("backend", backend, BACKENDS)
        timeout = seconds("llm_timeout", llm_timeout)
        entries = list(watchers) if not isinstance(watchers, str) and isinstance(watchers, Iterable) else watchers
        watched = tuple(resolve(entries or environment.watchers))
        plan = cls(
            name=checked_name,
            watched=watched,
            operators=resolve_operators(operators, watched),
            clients=ClientRegistry.build(client_registry),
            redactor=Redactor(redact),
            budget=_budget(budget, environment),
            llm_timeout=timeout,
            compaction=compaction,
            state_dir=state_folder(environment.state_dir if state_dir is None else state_dir),
            control=flag("control", control),
            after_fork=choice("after_fork", after_fork, get_args(AfterFork)),
        )
        plan._check_clients()
        return plan

    def _check_clients(self) -> None:
        for index, one in enumerate(self.watched):
            if one.client is not None and one.client not in self.clients.names:
                text = f"watchers[{index}].client: no client is named {one.client!r}; the clients are: "
                raise ConfigError(text + ", ".join(self.clients.names), field=f"watchers[{index}].client")


def refuse_unknown(given: Mapping[str, object], arguments: Iterable[str]) -> None:
    """Refuse arguments that do not exist.

    Raises:
        ConfigError: There is one; lists those that exist.
    """
    if given:
        first = next(iter(given))
        raise ConfigError(f"there is no argument {first!r}; the arguments are: {', '.join(arguments)}", field=first)


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigError(f"name must be a text that is not empty, not {name!r}", field="name")
    return name


def _budget(given: object, environment: Environment) -> Budget | None:
    if given is not None and not isinstance(given, Budget):
        raise ConfigError(f"budget must be a Budget or None, not {given!r}", field="budget")
    if given is None and environment.budget_usd_per_day is not None:
        return Budget(usd_per_day=environment.budget_usd_per_day)
    return given
