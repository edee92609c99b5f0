"""What may be asked of an operator, and what it tells: plain messages, and how they are sent so that nobody hangs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits
from beamlens.errors import Cancelled
from beamlens_actors import ActorError

if TYPE_CHECKING:
    from beamlens.findings import Alert, OperatorMessage, OperatorResult, RunHandle
    from beamlens.llm.client import LLMClient
    from beamlens_actors import ActorRef, ExitReason

MAX_ITERATIONS = 25


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Invoke:
    """A message: a run is wanted.

    Attributes:
        handle: Whose run it is; the operator brings it to its end.
        context: Why, and what is known: text from outside.
        client: Who answers; by default the operator's.
        max_iterations: Most model calls; by default the operator's.
        deadline: Seconds from its begin on after which it is ended.
        accepted: Is called once the operator is answerable for the handle.

    Raises:
        ConfigError: A limit is wrong.
    """

    handle: RunHandle[list[Alert]]
    context: Mapping[str, Any] = field(default_factory=dict)
    client: LLMClient | None = None
    max_iterations: int | None = None
    deadline: float | None = None
    accepted: Callable[[], object] = field(default=_nothing, repr=False)

    def __post_init__(self) -> None:
        Limits(
            max_iterations=MAX_ITERATIONS if self.max_iterations is None else self.max_iterations,
            deadline=self.deadline,
        )


@dataclass(frozen=True, slots=True)
class Say:
    """A message: a question.

    Attributes:
        handle: Who asks; its value is the answer.
        prompt: The question; text from outside.
        timeout: Seconds after which nobody wants the answer any more.
        accepted: Is called once the operator is answerable for the handle.
    """

    handle: RunHandle[OperatorMessage]
    prompt: str
    timeout: float = 30.0
    accepted: Callable[[], object] = field(default=_nothing, repr=False)


@dataclass(frozen=True, slots=True)
class OperatorNotification:
    """What ``notify=`` is told of each finding.

    Attributes:
        operator: Its name.
        run_id: The run.
        notification: The finding.
    """

    operator: str
    run_id: str
    notification: Alert


@dataclass(frozen=True, slots=True)
class OperatorComplete:
    """What ``notify=`` is told of the end of a run.

    Attributes:
        operator: Its name.
        run_id: The run.
        result: All that it ended with; its `failed` and `error` tell a run that broke off from one that found nothing.
    """

    operator: str
    run_id: str
    result: OperatorResult


Notify = Callable[[OperatorNotification | OperatorComplete], object]


def send(ref: ActorRef[Any], message: Invoke | Say) -> None:
    """Tell an operator, and fail the handle should it end before it takes it. Blocks nobody, raises nothing."""
    handle = message.handle
    name = handle.name

    def ended(_ref: ActorRef[Any], reason: ExitReason) -> None:
        handle.fail(Cancelled(f"the operator {name} ended: {reason!r}"))

    forget = ref.add_exit_callback(ended)
    handle.add_done_callback(forget)
    try:
        ref.tell(replace(message, accepted=forget))
    except ActorError as error:
        handle.fail(Cancelled(f"the operator {name} could not be told: {error}"))
