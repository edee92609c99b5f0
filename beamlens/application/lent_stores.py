"""The stores of domains that nobody watches: they run while an operator looks, under a supervisor of the instance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from beamlens.application.tree import OnEvent
from beamlens.operator import Lent, lend, stores
from beamlens_actors import ActorDead, ActorError, Registry
from beamlens_supervision import ChildSpec, DynamicSupervisor, DynamicSupervisorRef, SupervisionError

if TYPE_CHECKING:
    from beamlens.domains import Domain

_KEY = ("supervisor", "lent")
_TAKEN_OUT_WITHIN = 5.0


def supervisor_child(registry: Registry, on_event: OnEvent) -> ChildSpec:
    """The supervisor ``LentStores``, empty while no operator looks at such a domain."""

    def start() -> object:
        launcher = DynamicSupervisor.options(name="LentStores", register=(registry, _KEY))
        return launcher.start(max_restarts=10, max_seconds=10.0, on_event=on_event)

    return ChildSpec("LentStores", start, type="supervisor", shutdown=1.5)


class LentStores:
    """Starts the stores of a domain for a run, and knows what is still out. Thread-safe."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._out: set[Callable[[], object]] = set()
        self._lock = threading.Lock()

    def lend(self, name: str, domain: Domain) -> Lent:
        """Start a domain's stores.

        Raises:
            ActorDead: Their supervisor is being restarted.
            ChildStartError: One did not start.
        """
        lent = lend(domain, lambda specs: self._start(name, specs))

        def give_back() -> None:
            lent.give_back()
            with self._lock:
                self._out.discard(give_back)

        with self._lock:
            self._out.add(give_back)
        return Lent(domain, recording_since=lent.recording_since, give_back=give_back)

    def close(self) -> None:
        """Take everything back: the instance has ended."""
        with self._lock:
            out = list(self._out)
        for give_back in out:
            give_back()

    def forget_lock(self) -> None:
        """In a forked child: whoever held the lock is not here."""
        self._lock = threading.Lock()

    def _start(self, name: str, specs: Sequence[ChildSpec]) -> Callable[[], object]:
        supervisor = self._registry.lookup(_KEY)
        if not isinstance(supervisor, DynamicSupervisorRef):
            raise ActorDead("the supervisor of lent stores is being restarted")
        spec = ChildSpec(
            f"{name}.stores", stores, (specs, f"{name}.stores"), restart="temporary", type="supervisor", shutdown=2.0
        )
        ref = supervisor.start_child(spec)

        def end() -> None:
            try:
                supervisor.terminate_child(ref, timeout=_TAKEN_OUT_WITHIN)
            except (ActorError, SupervisionError):
                pass  # they have ended with the instance
            except TimeoutError:
                ref.kill()

        return end
