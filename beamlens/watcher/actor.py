"""The watcher: an actor that looks, waits with its sensors awake, and looks again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamlens.agent.compaction import estimated_tokens
from beamlens.agent.supervised import GRACE
from beamlens.findings import AgentStatus, Investigation, StatusRequest
from beamlens.lua import Sandbox
from beamlens.watcher.look import Look, LookEnded
from beamlens.watcher.patience import Patience
from beamlens.watcher.sensing import Sensing, SensorsChanged
from beamlens_actors import AbortSignal, Actor, ActorError, ExitReason, Timer, clock
from beamlens_supervision import ChildSpec, SupervisionError

if TYPE_CHECKING:
    from beamlens.agent import Services
    from beamlens.agent.limits import RunOutcome
    from beamlens.domains.domain import Domain
    from beamlens.findings import Alert
    from beamlens.llm.client import LLMClient, Message
    from beamlens_actors import ActorRef, Registry

RETRY_AFTER = 30.0
"""Seconds until the next look after one that ended without ``wait``."""

CONTINUOUS_PAUSE = 1.0
"""Seconds until the next look of a continuous watcher, likewise."""

_WAKE_GAP = 30.0
_TOO_LONG = 4  # times the size at which it is summarised: it could not be
_REPAIR_AFTER = 1.0


class _TimeToLook:
    def __init__(self, number: int) -> None:
        self.number = number


class _SensingEnded:
    pass


class WatcherActor(Actor):
    """Watches one domain.

    It never blocks: looks and sensors run in tasks, so ``status`` is answered at once. Its first look follows its
    start. A sensor that becomes active ends the wait; the same sensor does so again after 30 s at the earliest.
    """

    def __init__(
        self,
        services: Services,
        domain: Domain,
        publish: Callable[[Alert], object],
        *,
        name: str | None = None,
        client: LLMClient | None = None,
        continuous: bool = False,
        on_sensing: Callable[[str, Sensing], object] = lambda _name, _sensing: None,
    ) -> None:
        """Make a watcher.

        Args:
            services: The instance.
            domain: What it watches.
            publish: Takes each alert; its answer is shown to the model.
            name: Its name; by default the domain's.
            client: Who answers; by default the instance's primary client.
            continuous: Look again at once where the model does not wait, never wake it early, and keep the
                conversation, summarised, from look to look: seed 000's plain loop.
            on_sensing: Is given the sensors, for reports.
        """
        super().__init__()
        self._services = services
        self._domain = domain
        self._name = name or domain.name
        self._client = client or services.client
        self._continuous = continuous
        self._conversation: tuple[Message, ...] = ()
        self._patience = Patience()
        self._models_look = False
        self._lost = 0
        self._on_sensing = on_sensing
        self._publish = publish
        self._abort = AbortSignal()
        self._look: int = 0
        self._looking = False
        self._ended_looks = 0
        self._iterations = [0]
        self._timer: Timer | None = None
        self._pending: dict[str, str] = {}
        self._last_wake: dict[str, float] = {}
        self._stopped_by = ""

    @classmethod
    def child_spec(
        cls,
        services: Services,
        domain: Domain,
        publish: Callable[[Alert], object],
        *,
        registry: Registry,
        **options: Any,
    ) -> ChildSpec:
        """How a supervisor starts one, registered in `registry` under ``("watcher", name)``; see ``__init__``."""
        name = options.get("name") or domain.name
        launcher = cls.options(name=f"watcher:{name}", register=(registry, ("watcher", name)))
        return ChildSpec(name, launcher.start, (services, domain, publish), options, shutdown=1.0)

    def on_start(self) -> None:
        """Start sensing, and look."""
        self._found = Investigation(
            self._services, self._domain, kind="watcher", agent=self._name, publish=self._publish
        )
        self._sandbox = Sandbox(self._domain.callbacks())
        # Also when it is killed, which runs no hook in time: nothing of it may go on.
        self.actor_ref.add_exit_callback(_abort_with(self._abort))
        self._sensing = Sensing(self._domain, self._services.bus, self._name, self._tell)
        self._on_sensing(self._name, self._sensing)
        self._found.emit("started")
        self._sense()
        self._begin_look("the watch begins")

    def on_receive(self, message: Any) -> Any:
        """Answer ``status``; otherwise its own timers, sensors and looks."""
        match message:
            case StatusRequest():
                return self._status()
            case SensorsChanged():
                self._sensors_changed(message)
            case _TimeToLook(number=number):
                if number == self._look and not self._looking:
                    self._begin_look("the wait is over")
            case LookEnded():
                self._look_ended(message)
            case _SensingEnded():
                self._sense()
            case _:
                self._found.emit("unexpected_message", message=repr(message)[:200])
        return None

    def on_terminate(self, reason: ExitReason) -> None:
        """Stop the look and the sensors."""
        self._abort.abort("stopped")
        if self._timer is not None:
            self._timer.cancel()
        if hasattr(self, "_sandbox"):
            self._sandbox.close()
        self._services.bus.emit("watcher.stopped", self._name, reason=repr(reason))

    def _status(self) -> AgentStatus:
        waiting = self._timer is not None and self._timer.active
        return AgentStatus(
            name=self._name,
            kind="watcher",
            state=self._found.health,
            iteration=self._iterations[0],
            running=self._looking,
            runs=self._ended_looks,
            alerts=self._found.fired,
            active_sensors=tuple(sensor.name for sensor in self._sensing.active()),
            stopped_by=self._stopped_by,
            model=self._found.model(),
            wait_seconds=round(self._timer.remaining(), 3) if self._timer is not None and waiting else None,
        )

    def _sense(self) -> None:
        self._run(lambda: self._sensing.run(self._abort), "sensors", lambda _result: _SensingEnded())

    def _begin_look(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look += 1
        self._looking = True
        sensors = self._sensing.active()
        now = clock.monotonic()
        self._last_wake.update((sensor.name, now) for sensor in sensors)
        self._pending.clear()
        client = self._services.offline if self._patience.exhausted else self._client
        self._models_look = client is not self._services.offline
        look = Look(
            self._found,
            self._sandbox,
            reason=reason,
            sensors=sensors,
            abort=self._abort,
            iterations=self._iterations,
            client=client,
            continuous=self._continuous,
            history=self._conversation,
        )
        number = self._look
        self._run(look.run, "look", lambda outcome: LookEnded(number, outcome, look.conversation))

    def _run(self, fn: Callable[[], Any], what: str, ended: Callable[[Any], object]) -> None:
        """Run `fn` in a loop task; its end comes back as a message. A supervisor that restarts is waited for."""

        def tell(task: Any) -> None:
            result = task.outcome()
            self._tell(ended(result.value if result.ok else None))

        try:
            task = self._services.loop_tasks().run_nolink(fn, name=f"{self._name}:{what}", shutdown=GRACE)
        except (ActorError, SupervisionError):
            clock.call_later(_REPAIR_AFTER, lambda: self._tell(ended(None)))
        else:
            task.add_done_callback(tell)

    def _tell(self, message: object) -> None:
        if self._abort.aborted:
            return
        try:
            self.actor_ref.tell(message)
        except ActorError:
            pass  # it has ended meanwhile

    def _look_ended(self, message: LookEnded) -> None:
        if message.number != self._look or not self._looking:
            return
        self._looking = False
        self._ended_looks += 1
        self._judge(message.outcome)
        self._keep(message.conversation)
        seconds = self._pause(message.outcome)
        if self._pending:
            self._wake("; ".join(self._pending.values()))
            return
        self._found.emit("wait", {"seconds": seconds}, reason=self._stopped_by)
        self._timer = self.send_after(seconds, _TimeToLook(self._look))

    def _judge(self, outcome: RunOutcome | None) -> None:
        """Whether the model did its work, if it was its look."""
        self._stopped_by = "lost" if outcome is None else outcome.stopped_by
        self._lost = self._lost + 1 if outcome is None else 0
        if self._models_look:
            self._patience.ended(failed=outcome is None or outcome.model == self._services.offline.model)

    def _keep(self, conversation: tuple[Message, ...]) -> None:
        # A model that fails again and again may do so because of what is in it, or because it has become too long.
        spoilt = self._patience.failures > 1
        too_long = estimated_tokens(conversation) > _TOO_LONG * self._services.compaction.max_tokens
        self._conversation = () if spoilt or too_long or not self._continuous else conversation

    def _pause(self, outcome: RunOutcome | None) -> float:
        """Seconds until the next look."""
        if outcome is None:
            return min(RETRY_AFTER, _REPAIR_AFTER * 2.0 ** min(10, self._lost - 1))
        if outcome.stopped_by == "wait":
            return float(outcome.ending["seconds"])
        by_model = outcome.model != self._services.offline.model
        return CONTINUOUS_PAUSE if self._continuous and by_model else RETRY_AFTER

    def _sensors_changed(self, message: SensorsChanged) -> None:
        if self._continuous:
            return
        now = clock.monotonic()
        for sensor in message.new:
            if now - self._last_wake.get(sensor.name, float("-inf")) >= _WAKE_GAP:
                self._pending[sensor.name] = f"sensor {sensor.name}: {sensor.reason}"
        if message.cleared and not message.active and self._found.health != "healthy":
            self._pending["cleared"] = f"quiet again: {', '.join(message.cleared)}"
        if self._pending and not self._looking:
            self._wake("; ".join(self._pending.values()))

    def _wake(self, reason: str) -> None:
        self._found.emit("woken", reason=reason, trust="untrusted")
        self._begin_look(reason)


def _abort_with(abort: AbortSignal) -> Callable[[ActorRef[Any], ExitReason], object]:
    return lambda _ref, _reason: abort.abort("the watcher ended")
