"""The actor that owns a control socket, so that it is supervised."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beamlens.control.address import Listener
from beamlens.control.errors import ControlUnavailable
from beamlens.control.protocol import Handler
from beamlens.control.server import Server
from beamlens_actors import Actor, ActorError, ExitReason
from beamlens_supervision import ChildSpec
from beamlens_supervision.child_spec import Ignore

logger = logging.getLogger("beamlens.control")

NAME = "ControlServer"

_servers: weakref.WeakSet[Server] = weakref.WeakSet()
_at_fork = False


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class ControlServer(Actor):
    """Serves from its start to its end; handles no messages of its own."""

    def __init__(self, listener: Listener, handlers: Mapping[str, Handler], instance: str) -> None:
        super().__init__()
        self._listener = listener
        self._server: Server | None = None
        self._handlers = handlers
        self._instance = instance

    @classmethod
    def child_spec(
        cls, handlers: Mapping[str, Handler], instance: str, unavailable: Callable[[str], object]
    ) -> ChildSpec:
        """How a supervisor starts one.

        Args:
            handlers: Who answers, by kind of question.
            instance: The instance's name.
            unavailable: Is told why, where this process cannot serve. That is no reason not to watch it.
        """

        def start() -> Any:
            try:
                listener = Listener.open(instance)
            except ControlUnavailable as error:
                unavailable(str(error))
                return Ignore
            try:
                return cls.options(name=NAME, backend="threads").start(listener, handlers, instance)
            except BaseException as error:
                listener.close()
                if isinstance(error, OSError):  # no descriptor is left
                    unavailable(str(error))
                    return Ignore
                raise

        return ChildSpec(NAME, start, shutdown=1.0, backoff=lambda attempt: min(30.0, 0.5 * 2**attempt))

    def on_start(self) -> None:
        """Begin to serve."""
        greeting = {"pid": os.getpid(), "instance": self._instance}
        self._server = Server(self._listener, self._handlers, greeting, self._tell)
        _watch_forks()
        _servers.add(self._server)
        self._server.start()

    def on_receive(self, message: Any) -> None:
        """Crash as the serving thread did."""
        if isinstance(message, _Failed):
            raise message.error

    def on_terminate(self, reason: ExitReason) -> None:  # noqa: ARG002 - whatever it was
        """Stop serving."""
        if self._server is not None:
            self._server.stop()

    def _tell(self, error: BaseException) -> None:
        try:
            self.actor_ref.tell(_Failed(error))
        except ActorError:
            pass  # it has ended meanwhile


def _watch_forks() -> None:
    global _at_fork
    if not _at_fork and hasattr(os, "register_at_fork"):
        _at_fork = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for server in list(_servers):
        server.forget()
    _servers.clear()
