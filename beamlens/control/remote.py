"""An instance in another process, with the same `registry.lookup(...).ask(status)` as one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from beamlens.control.agents import SENDABLE
from beamlens.control.client import Connection
from beamlens.control.errors import ConnectionLost, NotSendable, NotServing, ProtocolError
from beamlens.control.finding import choose
from beamlens.control.protocol import LONG, MOST_SECONDS
from beamlens.control.wire import status_from_wire
from beamlens.findings import AgentStatus, Alert, Insight, StatusRequest
from beamlens_actors import ActorDead


def connect(pid: int | None = None, name: str | None = None, *, timeout: float = 5.0) -> RemoteInstance:
    """Reach an instance of another process of this user (root: of any) that was started with ``control=True``.

    Args:
        pid: Its process; may be left out when only one can be reached.
        name: Its name; may be left out when the process has only one.
        timeout: Seconds for it to say hello.

    Raises:
        ControlError: It cannot be reached; says why, with the choices. See `beamlens.control.errors`.
    """
    return RemoteInstance(choose(pid, name, timeout=timeout))


class RemoteInstance:
    """A running instance of another process. Every question raises `ConnectionLost` once that has ended."""

    def __init__(self, connection: Connection) -> None:
        """Not for users: `connect` makes one."""
        self._connection = connection
        self.pid = connection.address.pid
        named = connection.hello.get("instance")
        self.name = named if isinstance(named, str) else ""
        self.registry = RemoteRegistry(connection)

    def facts(self) -> dict[str, Any]:
        """What it is: ``pid``, ``instance``, ``command``, ``uptime`` and more, all of JSON types."""
        return _map(self._connection.ask("facts"))

    def overview(self) -> dict[str, Any]:
        """All that `beamlens top` shows, from one moment."""
        return _map(self._connection.ask("overview"))

    def tree(self) -> dict[str, Any]:
        """The supervision tree as nested maps, as `beamlens_supervision.tree` gives it."""
        return _map(self._connection.ask("tree"))

    def status(self) -> dict[str, Any]:
        """As `Beamlens.status()`, as nested maps."""
        return _map(self._connection.ask("status"))

    def report(self) -> dict[str, Any]:
        """As `Beamlens.report().to_dict()`."""
        return _map(self._connection.ask("report"))

    def usage(self) -> dict[str, Any]:
        """As `Beamlens.usage()`."""
        return _map(self._connection.ask("usage"))

    def alerts(self) -> list[Alert]:
        """The open alerts, oldest first."""
        return _models(Alert, self._connection.ask("alerts"))

    def insights(self) -> list[Insight]:
        """The last insights, oldest first."""
        return _models(Insight, self._connection.ask("insights"))

    def ask(self, question: str, timeout: float = 300.0) -> dict[str, Any]:
        """Have its Coordinator look into a question.

        Args:
            question: In words.
            timeout: Seconds for the answer.

        Returns:
            ``answer`` (text), ``insights``, ``findings`` (alerts), ``model``, ``cost`` (dollars, or ``None``).
        """
        return _map(self._connection.ask("ask", min(timeout, LONG["ask"]), question=question))

    def close(self) -> None:
        """Close the connection; another question would open it again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteInstance {self.name!r} of process {self.pid}>"


class RemoteRegistry:
    """Finds the agents of an instance in another process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lookup(self, name: str) -> RemoteRef | None:
        """The ref of the watcher of that name, else of the operator, else ``None``."""
        found = self._connection.ask("lookup", name=name)
        if found is None:
            return None
        urn, shown = _map(found).get("urn"), _map(found).get("name")
        if not isinstance(urn, str) or not isinstance(shown, str):
            raise ProtocolError("what came is no ref")
        return RemoteRef(self._connection, name, shown, urn)


class RemoteRef:
    """An agent in another process. It is that agent only: one that was restarted is another."""

    def __init__(self, connection: Connection, key: str, name: str, urn: str) -> None:
        """Not for users: `RemoteRegistry.lookup` makes one."""
        self._connection = connection
        self._key = key
        self.name = name
        self.actor_urn = urn

    def ask(self, message: StatusRequest, timeout: float | None = None) -> AgentStatus:
        """Send ``status`` and wait for the answer.

        Args:
            message: `beamlens.status`; nothing else can be sent to another process.
            timeout: Seconds; ``None`` is as long as the server allows, 30.

        Raises:
            NotSendable: It is another message.
            ActorDead: The agent has ended, or its process.
            AskTimeout: No answer in time.
        """
        kind = next((name for name, known in SENDABLE.items() if known == message), None)
        if kind is None:
            names = ", ".join(SENDABLE)
            raise NotSendable(f"a {type(message).__name__} cannot be sent to another process; there is: {names}")
        seconds = MOST_SECONDS if timeout is None else timeout
        try:
            answer = self._connection.ask("tell", seconds, name=self._key, urn=self.actor_urn, message=kind)
        except (ConnectionLost, NotServing) as error:
            raise ActorDead(f"{self.name} cannot be asked: {error}") from error
        return status_from_wire(answer)

    def is_alive(self) -> bool:
        """Whether it runs; False also when its process cannot be reached."""
        try:
            return self._connection.ask("alive", name=self._key, urn=self.actor_urn) is True
        except (ConnectionLost, NotServing):
            return False

    def __repr__(self) -> str:
        return f"<RemoteRef {self.name!r} in process {self._connection.address.pid}>"


def _map(answer: object) -> dict[str, Any]:
    if not isinstance(answer, Mapping):
        raise ProtocolError(f"an answer came as {type(answer).__name__}")
    return dict(answer)


def _models(model: Any, answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise ProtocolError(f"an answer came as {type(answer).__name__}")
    try:
        return [model.model_validate(one) for one in answer]
    except ValidationError as error:
        raise ProtocolError(f"what came is no {model.__name__}: {error.error_count()} fields are wrong") from error
