"""Every error that Beamlens raises on purpose.

::

    BeamlensError
    ├── ConfigError (ValueError)        what was given to start() is wrong; names the field and the choices
    │   ├── UnknownDomain               a watcher or operator name that does not exist
    │   └── ClientConfigError           the client registry, a provider, a missing key
    ├── AlreadyStarted                  a running instance has that name; carries it
    ├── NotStarted                      no instance is running
    │   ├── OperatorNotStarted          there is no operator of that name; lists those that are
    │   └── CoordinatorNotStarted       the Coordinator is not there, or being restarted
    ├── Cancelled                       a run was cancelled, or its agent ended
    ├── DeadlineExceeded (TimeoutError) a run was ended by its deadline
    ├── AlreadyAwaiting                 somebody waits for the result of that run already
    ├── LLMError                        a model call failed; says how
    ├── BudgetExceeded                  a model call was not made: its budget is spent; says which limit
    ├── ToolError                       in beamlens.agent: a tool refuses, the model gets the text
    ├── SessionRunning                  in beamlens.agent: a session of that id runs; carries it
    ├── JournalError                    in beamlens.agent.journal, with a tree of its own: a session's file
    ├── ControlError                    in beamlens.control, with a tree of its own: another process
    └── LuaError                        in beamlens.lua
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


class BeamlensError(Exception):
    """Base of every error of this package."""


class ConfigError(BeamlensError, ValueError):
    """A value given at start is wrong.

    Args:
        message: A sentence that names the field and the choices.
        field: Dotted name of the field, such as ``client_registry.clients[0].provider``.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnknownDomain(ConfigError):  # noqa: N818 - the name is part of the fixed public API
    """No domain has that name; lists those that exist."""

    def __init__(self, name: object, known: Iterable[str], *, field: str | None = None) -> None:
        choices = ", ".join(sorted(known))
        super().__init__(f"unknown domain {name!r}; the domains are: {choices}", field=field)
        self.name = name


class ClientConfigError(ConfigError):
    """The client registry does not describe a usable LLM client."""


class AlreadyStarted(BeamlensError):  # noqa: N818 - the name is part of the fixed public API
    """An instance of that name is running.

    Attributes:
        instance: The running instance.
    """

    def __init__(self, name: str, instance: Any) -> None:
        super().__init__(
            f"a Beamlens instance named {name!r} is running already; stop it first or start with another name="
        )
        self.instance = instance


class NotStarted(BeamlensError):  # noqa: N818 - the name is part of the fixed public API
    """No instance is running."""


class OperatorNotStarted(NotStarted):
    """There is no operator of that name; lists those that are."""


class CoordinatorNotStarted(NotStarted):
    """The Coordinator is not there, or is being restarted."""


class Cancelled(BeamlensError):  # noqa: N818 - the name is part of the fixed public API
    """A run was cancelled, or the agent that ran it ended."""


class DeadlineExceeded(BeamlensError, TimeoutError):  # noqa: N818 - the name is part of the fixed public API
    """A run was ended by its deadline."""


class AlreadyAwaiting(BeamlensError):  # noqa: N818 - the name is part of the fixed public API
    """Somebody waits for the result of that run already."""


LLMErrorKind = Literal[
    "authentication",
    "rate_limit",
    "overloaded",
    "timeout",
    "connection",
    "invalid_request",
    "server",
    "response",
    "rejected",
]


class LLMError(BeamlensError):
    """A model call failed.

    Attributes:
        kind: What went wrong, one of ``LLMErrorKind``; ``"rejected"``: the call was not sent, for the provider's
            circuit is open or its limits leave no room in time.
        retryable: Whether the same call may succeed if it is tried again soon.
        retry_after: Seconds after which trying again has a point; ``None``: not known.
    """

    def __init__(self, message: str, *, kind: LLMErrorKind, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind: LLMErrorKind = kind
        self.retryable = retryable
        self.retry_after = retry_after


class BudgetExceeded(BeamlensError):  # noqa: N818 - the name is part of the fixed public API
    """A model call was not made, because a budget is spent.

    Attributes:
        limit: Which one: ``usd_per_day``, ``tokens_per_hour`` or ``calls_per_hour``.
        spent: How much was spent within its window.
        bound: How much may be.
    """

    def __init__(self, limit: str, spent: float, bound: float) -> None:
        super().__init__(f"the budget is spent: {limit} is {bound:g}, and {spent:g} were used")
        self.limit = limit
        self.spent = spent
        self.bound = bound
