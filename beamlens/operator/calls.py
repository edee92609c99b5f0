"""How others reach the operators of an instance: what the application gives to the Coordinator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from beamlens.errors import OperatorNotStarted

if TYPE_CHECKING:
    from beamlens.findings import AgentStatus, Alert, OperatorMessage, RunHandle
    from beamlens.llm.client import LLMClient


class Operators(Protocol):
    """The operators of one instance. Any thread; nothing here blocks but `message`."""

    def descriptions(self) -> Mapping[str, str]:
        """Operators by name, with what their domain watches in a line."""
        ...

    def known(self, name: str) -> bool:
        """Whether `start` takes the name: an operator, or a built-in domain that needs no argument."""
        ...

    def start(
        self,
        name: str,
        context: Mapping[str, Any],
        *,
        client: LLMClient | None = None,
        max_iterations: int = 25,
        deadline: float | None = None,
        on_notification: Callable[[Alert], object] | None = None,
        on_complete: Callable[[RunHandle[list[Alert]]], object] | None = None,
    ) -> RunHandle[list[Alert]]:
        """Queue a run. A domain that is known but not configured gets an operator for this run only.

        Raises:
            OperatorNotStarted: No operator and no domain has that name; lists those that exist.
        """
        ...

    def message(self, name: str, prompt: str, timeout: float = 30.0) -> OperatorMessage:
        """Speak to one, in a run or idle, and wait for its answer.

        Raises:
            OperatorNotStarted: There is no operator of that name.
            TimeoutError: It did not answer in time.
            LLMError: Its model failed.
        """
        ...

    def status(self, name: str) -> AgentStatus | None:
        """How it is; ``None`` when it does not live, or does not answer within a second."""
        ...


class NoOperators:
    """For a Coordinator that has nobody to ask."""

    def descriptions(self) -> Mapping[str, str]:
        """None."""
        return {}

    def known(self, name: str) -> bool:  # noqa: ARG002 - of the protocol
        """Never."""
        return False

    def start(self, name: str, context: Mapping[str, Any], **_options: Any) -> RunHandle[list[Alert]]:  # noqa: ARG002
        """Refuses.

        Raises:
            OperatorNotStarted: Always.
        """
        raise OperatorNotStarted(f"there is no operator {name!r}: there are none here")

    def message(self, name: str, prompt: str, timeout: float = 30.0) -> OperatorMessage:  # noqa: ARG002
        """Refuses.

        Raises:
            OperatorNotStarted: Always.
        """
        raise OperatorNotStarted(f"there is no operator {name!r}: there are none here")

    def status(self, name: str) -> AgentStatus | None:  # noqa: ARG002 - of the protocol
        """``None``."""
        return None
