"""What a watcher or operator has found so far: its health, snapshots, alerts and evidence."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from beamlens.agent.services import Services
from beamlens.agent.tool import ToolError
from beamlens.findings.alert import SEVERITIES, Alert, Severity
from beamlens.findings.ledger import Ledger
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.status import Health
from beamlens.telemetry import run as runs
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.domains.domain import Domain
    from beamlens.evidence import Evidence
    from beamlens.findings.facts import Verdict

Kind = Literal["watcher", "operator"]
Publish = Callable[[Alert], object]

MOST_SNAPSHOT = 100_000
"""Characters of a snapshot as JSON. It is kept, cited, and goes where alerts go."""

_SNAPSHOTS_KEPT = 50
_ALERTS_KEPT = 100
_EVIDENCE_KEPT = 20
_NOT_FIRED = "not fired: {} Correct this, and fire again: what is not found then is marked as not verified."
_NOT_FOUND = (
    "These numbers are in no snapshot, result or sensor that you were shown in this look: {}. Take numbers "
    "from there, rounded as you like; differences, ratios and changes in percent of them are found as well. Read the "
    "snapshot that has them, or leave them out."
)


class Investigation:
    """The memory of one agent, bounded; used by its tools on several threads.

    Attributes:
        health: The agent's present assessment.
        sensors: The sensors that are active.
        evidence: Sensor name to what closer looks found.
        note: What the agent's model wanted to remember at its last wait.
        analyst_note: What the offline analyst did: it takes over now and then, and the model's note outlives that.
        model: Says who answers now.
        fired: Alerts fired so far.
        reason: Why the present look began.
        recording_since: When the domain's stores began, ISO 8601, where it is not watched: each snapshot says so.
        ledger: What the present look has seen.
    """

    def __init__(
        self,
        services: Services,
        domain: Domain,
        *,
        kind: Kind,
        agent: str,
        publish: Publish,
        once: bool = False,
        recording_since: str = "",
    ) -> None:
        """Begin with nothing found.

        Args:
            services: The instance.
            domain: What is looked at.
            kind: Whose it is: the prefix of its events.
            agent: Its name.
            publish: Takes each alert; its answer is shown to the model.
            once: Whether an alert of a type that was fired already is refused, unless it is more severe, and any
                beyond 100.
            recording_since: See the attribute.
        """
        self.services = services
        self.domain = domain
        self.kind: Kind = kind
        self.agent = agent
        self.health: Health = "healthy"
        self.sensors: tuple[SensorState, ...] = ()
        self.evidence: dict[str, tuple[Evidence, ...]] = {}
        self.note = ""
        self.analyst_note = ""
        self.model: Callable[[], str] = str
        self.fired = 0
        self.reason = ""
        self.ledger = Ledger()
        self._withheld: dict[str, Alert] = {}
        self.recording_since = recording_since
        self._publish = publish
        self._once = once
        self._lock = threading.Lock()
        self._snapshots: deque[Snapshot] = deque(maxlen=_SNAPSHOTS_KEPT)
        self._alerts: deque[Alert] = deque(maxlen=_ALERTS_KEPT)

    def begin(self, reason: str) -> None:
        """Begin a look: evidence is what is seen from now on."""
        self.reason, self.ledger = reason, Ledger()

    def remember(self, note: str) -> None:
        """Keep a note of whoever answers now."""
        if self.model() == self.services.offline.model:
            self.analyst_note = note
        else:
            self.note = note

    def emit(self, name: str, measurements: Mapping[str, Any] | None = None, /, **metadata: Any) -> None:
        """Emit an event of this agent, such as ``think``."""
        self.services.bus.emit(f"{self.kind}.{name}", self.agent, measurements, **metadata)

    def set_health(self, health: Health, reason: str) -> None:
        """Change the health and tell so; the same health again is told too, with its new reason."""
        with self._lock:
            before, self.health = self.health, health
        self.emit("state_change", from_state=before, to_state=health, reason=reason)

    def take_snapshot(self) -> Snapshot:
        """Take and keep a snapshot of the domain.

        Raises:
            ToolError: The domain failed, or returned no JSON object, or a very large one.
        """
        try:
            data = _plain(self.domain.snapshot())
        except ToolError:
            raise
        except Exception as error:
            raise ToolError("the snapshot failed: ", in_words(error)) from error
        if not isinstance(data, dict):
            raise ToolError(f"the domain's snapshot is no object but {type(data).__name__}")
        if self.recording_since:
            data["_recording_since"] = self.recording_since
        snapshot = Snapshot(data=data)
        with self._lock:
            self._snapshots.append(snapshot)
        return snapshot

    def snapshots(self) -> list[Snapshot]:
        """The kept snapshots, oldest first."""
        with self._lock:
            return list(self._snapshots)

    def alerts(self) -> list[Alert]:
        """The kept alerts, oldest first."""
        with self._lock:
            return list(self._alerts)

    def find_snapshots(self, ids: Iterable[str]) -> tuple[Snapshot, ...]:
        """The snapshots of these ids.

        Raises:
            ToolError: None was given, or some are not kept; names them.
        """
        known = {snapshot.id: snapshot for snapshot in self.snapshots()}
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            raise ToolError("cite at least one snapshot: take_snapshot first and give its id in snapshot_ids")
        if missing := [snapshot_id for snapshot_id in wanted if snapshot_id not in known]:
            latest = ", ".join(list(known)[-5:]) or "none"
            raise ToolError(f"no snapshot has the id {', '.join(missing)}; the latest are: {latest}")
        return tuple(known[snapshot_id] for snapshot_id in wanted)

    def fire(
        self,
        *,
        anomaly_type: str,
        severity: Severity,
        context: str,
        observation: str,
        hypothesis: str | None,
        snapshot_ids: Iterable[str],
        cooldown: float | None = None,
    ) -> tuple[Alert, object]:
        """Make an alert of what was found, keep it and publish it.

        An alert with numbers that no evidence has goes back to the model once; then it is marked (design D6). The
        offline analyst's is never sent back: it cannot correct itself.

        Returns:
            The alert, and what `publish` made of it.

        Raises:
            ToolError: A cited snapshot does not exist, numbers were not found, or it was fired already.
        """
        with self._lock:
            self._refuse_again(anomaly_type, severity)
        run = runs.current.get()
        alert = Alert(
            watcher=self.agent,
            anomaly_type=anomaly_type,
            severity=severity,
            context=context,
            observation=observation,
            hypothesis=hypothesis,
            snapshots=self.find_snapshots(snapshot_ids),
            evidence=self._evidence_for(anomaly_type),
            node=self.services.node,
            instance=self.services.instance,
            trace_id=run.trace_id if run is not None else "0" * 32,
            model=self.model(),
            cooldown=cooldown,
        )
        alert, verdict = self._checked(alert)
        corrects = alert.model != self.services.offline.model
        if alert.unverified_numbers and corrects and self.ledger.may_refuse(anomaly_type):
            self._withheld[anomaly_type] = alert
            raise ToolError(_refusal(verdict))
        self._withheld.pop(anomaly_type, None)
        return alert, self._release(alert)

    def end(self, *, in_time: bool) -> None:
        """End a look: an alert that was sent back is fired after all, marked, unless the model had time to answer.

        Args:
            in_time: Whether the model ended the look itself.
        """
        withheld, self._withheld = self._withheld, {}
        if not in_time:
            for alert in withheld.values():
                with contextlib.suppress(ToolError):
                    self._release(alert)

    def refused(self, reason: str) -> None:
        """Tell that a finding was refused."""
        self.emit("alert_failed" if self.kind == "watcher" else "notification_failed", reason=reason)

    def _refuse_again(self, anomaly_type: str, severity: Severity) -> None:
        """The lock is held: two tools may fire the same at a time."""
        if not self._once:
            return
        same = [alert for alert in self._alerts if alert.anomaly_type == anomaly_type]
        rank = SEVERITIES.index(severity)
        if same and rank <= same[-1].rank:
            raise ToolError(
                f"you reported {anomaly_type} in this run already, as {same[-1].severity} (alert {same[-1].id}): "
                "report it again only if it is more severe; other trouble has another type"
            )
        if len(self._alerts) >= _ALERTS_KEPT:
            raise ToolError(f"you reported {_ALERTS_KEPT} findings in this run, which is the most: call done")

    def _release(self, alert: Alert) -> object:
        with self._lock:
            self._refuse_again(alert.anomaly_type, alert.severity)
            self._alerts.append(alert)
            self.fired += 1
        return self._publish(alert)

    def _checked(self, alert: Alert) -> tuple[Alert, Verdict]:
        verdict = self.ledger.check(
            f"{alert.observation}\n{alert.context}",
            cited=alert.snapshots,
            metrics=self.domain.metrics,
            sensors=self.sensors,
            evidence=[piece for pieces in self.evidence.values() for piece in pieces],
            alerts=self.alerts(),
            reason=self.reason,
        )
        found = {"numbers_verified": verdict.verified, "unverified_numbers": verdict.missing[:50]}
        return alert.model_copy(update=found), verdict

    def _evidence_for(self, anomaly_type: str) -> tuple[Evidence, ...]:
        own = [sensor.name for sensor in self.sensors if anomaly_type in (sensor.anomaly_type, sensor.name)]
        names = own or list(self.evidence)
        found = [piece for name in names for piece in self.evidence.get(name, ())]
        return tuple(found[:_EVIDENCE_KEPT])


def _plain(value: Any) -> Any:
    """The value as JSON has it. In pieces: what is far too large is not encoded to its end."""
    parts, length = [], 0
    for part in json.JSONEncoder(default=str).iterencode(value):
        parts.append(part)
        length += len(part)
        if length > MOST_SNAPSHOT:
            raise ToolError(f"the snapshot is larger than {MOST_SNAPSHOT} characters: it is the domain's mistake")
    return json.loads("".join(parts))


def _refusal(verdict: Verdict) -> str:
    known = {wrong.text for wrong in verdict.mismatched}
    said = [f"{wrong.metric} is {wrong.level} and not {wrong.text}." for wrong in verdict.mismatched[:20]]
    if elsewhere := [text for text in verdict.missing if text not in known]:
        said.append(_NOT_FOUND.format(", ".join(elsewhere[:20])))
    return _NOT_FIRED.format(" ".join(said))
