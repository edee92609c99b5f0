"""The ref of an agent: what may be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.agent.gathering import Batch
from beamlens.agent.subscribers import BLOCK_TIMEOUT, DEFAULT_CAPACITY, Overflow, Wish
from beamlens.errors import BeamlensError, ConfigError
from beamlens.llm.client import Message
from beamlens_actors import ActorRef, EventStream

if TYPE_CHECKING:
    from beamlens.agent.conversation import AgentState, Conversation
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.subscribers import Subscription

Said = str | Message


class AlreadyRunning(BeamlensError):  # noqa: N818 - as the other errors are named
    """The agent is in the middle of a run."""


class CannotContinue(BeamlensError):  # noqa: N818 - as the other errors are named
    """There is nothing to go on from."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Begin a run."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """Begin a run without a new message."""


@dataclass(frozen=True, slots=True)
class Steer:
    """Queue a message for the next model call."""

    message: Message


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Queue a message for the end of the run."""

    message: Message


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop the run."""

    reason: object


@dataclass(frozen=True, slots=True)
class GetConversation:
    """Ask for its state."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Add a subscriber."""

    subscriber: Any
    wish: Wish


class AgentRef(ActorRef[Any]):
    """What `Agent.start` returns."""

    def prompt(self, said: Said | Sequence[Said]) -> str:
        """Begin a run; returns its id at once.

        Raises:
            AlreadyRunning: One goes on.
            ConfigError: What is said is neither text nor a message of the user, or there is nothing.
            ActorDead: The agent has ended.
        """
        run_id: str = self.ask(Prompt(as_messages(said)))
        return run_id

    def continue_(self) -> str:
        """Begin a run where the last one was cut off, without a new message; returns its id at once.

        Raises:
            AlreadyRunning: One goes on.
            CannotContinue: There are no messages, or the model had the last word.
            ActorDead: The agent has ended.
        """
        run_id: str = self.ask(Continue())
        return run_id

    def steer(self, said: Said) -> None:
        """Have the model read this before its next call. Tool calls that it asked for already are made."""
        self.tell(Steer(_message(said)))

    def follow_up(self, said: Said) -> None:
        """Have the model read this once it has answered; without a run, in the next one."""
        self.tell(FollowUp(_message(said)))

    def abort(self, reason: object = "aborted") -> None:
        """Stop the run: signal, then stop, then kill. What is queued stays queued. Without a run: nothing."""
        self.tell(Abort(reason))

    def wait_for_idle(self, timeout: float | None = None) -> RunOutcome | None:
        """Wait until no run goes on; how the last one ended, ``None`` when there was none.

        Raises:
            TimeoutError: One does, after `timeout` seconds.
            ActorDead: The agent has ended.
        """
        return self._conversation().wait_for_idle(timeout)

    def subscribe(
        self,
        subscriber: ActorRef[Any] | EventStream | None = None,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = "drop_oldest",
        *,
        batch: Batch | None = None,
        updates: bool = True,
        block_timeout: float = BLOCK_TIMEOUT,
    ) -> Subscription:
        """Hear what happens, as `SessionEvent`s in order.

        Partial events (`message_update`, `tool_execution_update`) fill at most half of its queue.

        Args:
            subscriber: An actor, or a stream of your own, whose capacity and policy then count. By default a new
                stream: the subscription's ``stream``.
            capacity: Most events that wait for it.
            overflow: What happens to one more: ``drop_oldest`` and ``drop_newest`` lose one and count it in the
                events' ``dropped``; ``disconnect`` ends the subscription; ``block`` holds up
                the run until there is room, and loses the oldest after `block_timeout`.
            batch: How long partial events are held back, to be joined: ``Batch(events=64, seconds=0.1)``. By default
                they are only while its queue is half full.
            updates: Whether it wants the model's answers in pieces. While anybody does, a client that can is asked for
                a stream, from the next call on.
            block_timeout: Seconds that a run waits for a full queue, with ``overflow="block"``. A subscriber that let
                it pass is not waited for again until its queue has room.

        Returns:
            The subscription; ``cancel()`` ends it.

        Raises:
            ConfigError: A value that cannot be.
            ActorDead: The agent has ended.
        """
        subscription: Subscription = self.ask(
            Subscribe(subscriber, Wish(capacity, overflow, batch, updates, block_timeout))
        )
        return subscription

    def state(self) -> AgentState:
        """How it is at this moment; answered at once, whatever its model or tools do."""
        return self._conversation().state()

    def _conversation(self) -> Conversation:
        conversation: Conversation = self.ask(GetConversation())
        return conversation


def as_messages(said: Said | Sequence[Said]) -> tuple[Message, ...]:
    """What a user says, as messages.

    Raises:
        ConfigError: It is neither text nor a message of the user, or nothing.
    """
    if isinstance(said, str | Message):
        return (_message(said),)
    messages = tuple(_message(each) for each in said)
    if not messages:
        raise ConfigError("there is nothing to say", field="prompts")
    return messages


def _message(said: Said) -> Message:
    if isinstance(said, str) and said.strip():
        return Message.user(said)
    if not isinstance(said, Message) or said.role != "user" or not said.content:
        raise ConfigError(
            f"a prompt is a text that says something or a message of the user, not {said!r}", field="prompts"
        )
    return said
