"""The operator: looks into a domain when asked. Idle until then, and costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens.findings import AgentStatus, StatusRequest
from beamlens_actors import Actor
from beamlens_supervision import ChildSpec

if TYPE_CHECKING:
    from beamlens.agent import Services
    from beamlens_actors import Registry


class OperatorActor(Actor):
    """An idle operator; answers ``status``."""

    def __init__(self, services: Services, name: str) -> None:
        super().__init__()
        self._services = services
        self._name = name

    @classmethod
    def child_spec(cls, services: Services, name: str, *, registry: Registry) -> ChildSpec:
        """How a supervisor starts one, registered in `registry` under ``("operator", name)``."""
        launcher = cls.options(name=f"operator:{name}", register=(registry, ("operator", name)))
        return ChildSpec(name, launcher.start, (services, name), shutdown=1.0)

    def on_start(self) -> None:
        """Tell that it is there."""
        self._services.bus.emit("operator.started", self._name)

    def on_receive(self, message: Any) -> Any:
        """Answer ``status``."""
        if isinstance(message, StatusRequest):
            return AgentStatus(name=self._name, kind="operator")
        self._services.bus.emit("operator.unexpected_message", self._name, message=repr(message)[:200])
        return None
