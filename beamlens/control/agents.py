"""Questions to single agents: which there are, whether they live, how they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from beamlens.control.errors import NotSendable, ProtocolError
from beamlens.control.protocol import Handler, Terms
from beamlens.control.wire import status_to_wire
from beamlens.findings import AgentStatus, status
from beamlens_actors import ActorDead, ActorRef

SENDABLE = {"status": status}
"""Messages that may be sent to an agent from outside, by name."""

Find = Callable[[str], ActorRef[Any] | None]


def handlers(find: Find) -> dict[str, Handler]:
    """The handlers of these questions.

    Args:
        find: The agent of a name, else ``None``.
    """

    def lookup(arguments: Mapping[str, Any], _terms: Terms) -> dict[str, str] | None:
        ref = find(_text(arguments, "name"))
        return None if ref is None else {"urn": ref.actor_urn, "name": ref.name}

    def alive(arguments: Mapping[str, Any], _terms: Terms) -> bool:
        ref = find(_text(arguments, "name"))
        return ref is not None and ref.actor_urn == _text(arguments, "urn") and ref.is_alive()

    def tell(arguments: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
        name, message = _text(arguments, "name"), _text(arguments, "message")
        if message not in SENDABLE:
            raise NotSendable(f"{message!r} cannot be sent from outside; there is: {', '.join(SENDABLE)}")
        ref = find(name)
        if ref is None or ref.actor_urn != _text(arguments, "urn"):
            raise ActorDead(f"the agent {name!r} that was looked up has ended")
        answer = ref.ask(SENDABLE[message], timeout=terms.seconds)
        if not isinstance(answer, AgentStatus):
            raise TypeError(f"the agent {name!r} answered with {type(answer).__name__}")
        return status_to_wire(answer)

    return {"lookup": lookup, "alive": alive, "tell": tell}


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"a question came without {name}")
    return value
