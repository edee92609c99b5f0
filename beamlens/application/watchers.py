"""The watchers of an instance: what is watched, how each is started, and what its sensors say."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamlens.application import anomalies
from beamlens.application.parts import Parts
from beamlens.application.specs import Watched, resolve
from beamlens.coordinator import Verdict
from beamlens.domains.sources import WatchesOthers
from beamlens.errors import BeamlensError, ConfigError
from beamlens.findings import Alert
from beamlens.llm.registry import ClientRegistry
from beamlens.watcher import Sensing, WatcherActor
from beamlens_supervision import ChildSpec, SupervisionError, SupervisorRef

if TYPE_CHECKING:
    from beamlens.domains import Domain

logger = logging.getLogger("beamlens")


class Watchers:
    """Thread-safe; watchers come and go while the instance runs."""

    def __init__(
        self, watched: Iterable[Watched], parts: Parts, clients: ClientRegistry, folder: Path | None = None
    ) -> None:
        """Not for users.

        Args:
            watched: Those from the start.
            parts: The instance's.
            clients: Where a watcher's own client comes from.
            folder: The state directory, for domains that learn.
        """
        self._folder = folder
        self._parts = parts
        self._clients = clients
        self._watched = {one.name: one for one in watched}
        self._sensing: dict[str, Sensing] = {}
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._watched.values()))

    @property
    def names(self) -> list[str]:
        """Names of those that are watched."""
        return list(self._watched)

    def domain(self, name: str) -> Domain:
        """The live domain of a watcher.

        Raises:
            ConfigError: No watcher has that name; lists those that run.
        """
        if name not in self._watched:
            raise self._none_of(name)
        return self._watched[name].domain

    def stores(self) -> list[ChildSpec]:
        """How a supervisor starts what the domains keep."""
        return [spec for one in self for spec in self._children(one)]

    def _children(self, one: Watched) -> list[ChildSpec]:
        if isinstance(one.domain, WatchesOthers):
            bus = self._parts.bus
            one.domain.join(anomalies.surroundings(one.domain, lambda: list(self), bus, bus.instance, self._folder))
        return list(one.domain.children())

    def specs(self) -> list[ChildSpec]:
        """How a supervisor starts them."""
        return [self._spec(one) for one in self]

    def start(self, entry: Any, root: SupervisorRef) -> None:
        """Watch one thing more; its domain's stores come under the root.

        Raises:
            ConfigError: The entry is wrong, or the name is taken.
            BeamlensError: It did not start.
        """
        (one,) = resolve([entry])
        with self._lock:
            if one.name in self._watched:
                raise ConfigError(f"a watcher named {one.name!r} runs already", field="name")
            supervisor = self._supervisor()
            started: list[ChildSpec] = []
            try:
                for spec in self._children(one):
                    root.start_child(spec)
                    started.append(spec)
                if supervisor is None:
                    text = "the watchers are being restarted; try again"
                    raise BeamlensError(text)  # noqa: TRY301 - cleaned up like any other failure
                supervisor.start_child(self._spec(one))
            except BaseException:
                _remove(root, started)
                one.domain.close()
                raise
            self._watched[one.name] = one

    def stop(self, name: str, root: SupervisorRef) -> None:
        """Stop a watcher and its domain's stores.

        Raises:
            ConfigError: There is none of that name; lists those that run.
        """
        with self._lock:
            one = self._watched.pop(name, None)
            if one is None:
                raise self._none_of(name)
            ref, supervisor = self._parts.agents.lookup(("watcher", name)), self._supervisor()
            if ref is not None and supervisor is not None:
                supervisor.terminate_child(ref)
            self._sensing.pop(name, None)
            _remove(root, one.domain.children())
            one.domain.close()

    def close(self) -> None:
        """Close the domains: what they installed in the host is taken out."""
        for one in self:
            try:
                one.domain.close()
            except Exception:
                logger.exception("domain %s could not be closed", one.name)

    def forget_lock(self) -> None:
        """In a forked child: whoever held the lock is not here."""
        self._lock = threading.RLock()

    def quiet_sensors(self) -> list[str]:
        """``watcher.sensor`` of the sensors that see nothing."""
        return [f"{name}.{sensor}" for name, sensing in list(self._sensing.items()) for sensor in sensing.quiet()]

    def sensing(self, name: str) -> Sensing | None:
        """The sensors of one watcher; ``None`` while it starts."""
        return self._sensing.get(name)

    def active_sensors(self) -> tuple[str, ...]:
        """``watcher.sensor`` of those that are active."""
        sensing = list(self._sensing.items())
        return tuple(f"{name}.{sensor.name}" for name, each in sensing for sensor in each.active())

    def _spec(self, one: Watched) -> ChildSpec:
        def publish(alert: Alert) -> Verdict:
            return self._parts.inbox.offer(alert, one.cooldown)

        services = self._parts.services
        return WatcherActor.child_spec(
            dataclasses.replace(services, compaction=one.compaction(services.compaction)),
            one.domain,
            publish,
            registry=self._parts.agents,
            name=one.name,
            client=None if one.client is None else self._clients.client(one.client),
            continuous=one.continuous,
            on_sensing=self._sensing.__setitem__,
        )

    def _supervisor(self) -> Any:
        return self._parts.agents.lookup(("supervisor", "watchers"))

    def _none_of(self, name: str) -> ConfigError:
        return ConfigError(f"no watcher is named {name!r}; running: {', '.join(self._watched) or 'none'}")


def _remove(root: SupervisorRef, specs: Iterable[ChildSpec]) -> None:
    for spec in specs:
        try:
            root.terminate_child(spec.id)
            root.delete_child(spec.id)
        except SupervisionError:
            continue
