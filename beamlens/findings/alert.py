"""A finding with its evidence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beamlens.evidence import Evidence
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.wire import AwareTime, Wire, new_id, utc_now

Severity = Literal["info", "warning", "critical"]
AlertStatus = Literal["unread", "acknowledged", "resolved"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


class Alert(Wire):
    """What a watcher found, facts apart from speculation.

    Attributes:
        id: 16 hex digits.
        watcher: Who found it.
        anomaly_type: What it is, in a word; with instance and watcher it says which alerts are the same.
        severity: ``info``, ``warning`` or ``critical``.
        context: What was going on; facts.
        observation: What was seen, with numbers; facts.
        hypothesis: Why it may be so; speculation. ``None`` where nothing is known.
        snapshots: The snapshots that it cites, at least one.
        evidence: What closer looks found, each with its place in the code where there is one.
        detected_at: When, UTC.
        node: The host's name.
        instance: The Beamlens instance.
        trace_id: The run that found it, 32 hex digits.
        count: How often the same was found while this one was open or in its cooldown.
        numbers_verified: Whether each number of observation and context is in the evidence that the run had; ``None``:
            there are none.
        unverified_numbers: Those that are not, as they are written.
        model: Who wrote it; ``"offline"`` for the offline analyst.
        cooldown: Seconds for which the same is not to be told again once this one is dealt with, if that is longer than
            the watcher's own; ``None``: the watcher's own.
    """

    id: str = Field(default_factory=new_id)
    watcher: str
    anomaly_type: Annotated[str, Field(min_length=1)]
    severity: Severity
    context: str
    observation: Annotated[str, Field(min_length=1)]
    hypothesis: str | None = None
    snapshots: tuple[Snapshot, ...]
    evidence: tuple[Evidence, ...] = ()
    detected_at: AwareTime = Field(default_factory=utc_now)
    node: str
    instance: str
    trace_id: str
    count: Annotated[int, Field(ge=1)] = 1
    numbers_verified: bool | None = None
    unverified_numbers: tuple[str, ...] = ()
    model: str = ""
    cooldown: Annotated[float, Field(ge=0)] | None = None

    @property
    def summary(self) -> str:
        """The observation."""
        return self.observation

    @property
    def identity(self) -> tuple[str, str, str]:
        """Alerts of the same identity are the same trouble: instance, watcher, anomaly type."""
        return (self.instance, self.watcher, self.anomaly_type)

    @property
    def rank(self) -> int:
        """Severity as a number: 0 info, 1 warning, 2 critical."""
        return SEVERITIES.index(self.severity)
