"""The tools of seed 000 that watchers and operators share, over an `Investigation`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from beamlens.agent import Tool, ToolError
from beamlens.findings.alert import Severity
from beamlens.findings.investigation import Investigation
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.status import Health
from beamlens.lua import LuaError
from beamlens_actors import clock

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


MOST_COOLDOWN_MINUTES = 1440


class RunsLua(Protocol):
    """The sandbox, as the tool needs it."""

    def run(self, code: str) -> Any:
        """Run Lua code and return its JSON value; raises `LuaError`."""
        ...


class Arguments(BaseModel):
    """Arguments of a tool: surplus ones are refused, so that a model notices its mistake."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _encodable(cls, given: Any) -> Any:
        """Show lone surrogates as escapes: a file name that is no UTF-8 has them, and pydantic refuses them."""
        return {name: _escaped(value) for name, value in given.items()} if isinstance(given, dict) else given


class SetState(Arguments):
    """Set your assessment of the domain: healthy, observing, warning or critical."""

    state: Health
    reason: Line = Field(description="Why, in a sentence.")


class FireAlert(Arguments):
    """Report an anomaly. Facts and speculation are kept apart; at least one snapshot must be cited.

    The numbers in context and observation are looked up in what you were shown in this look.
    """

    type: Word = Field(description="What it is, in a word such as memory_growth. The same trouble, the same word.")
    severity: Severity
    context: Line = Field(description="What is going on. Facts only.")
    observation: Line = Field(description="What was seen, with numbers and units. Facts only.")
    hypothesis: Line | None = Field(default=None, description="Why it may be so: speculation; may be left out.")
    snapshot_ids: list[str] = Field(description="Ids of the snapshots that show it.")


class FireWatchersAlert(FireAlert):
    """Report an anomaly. Facts and speculation are kept apart; at least one snapshot must be cited.

    The numbers in context and observation are looked up in what you were shown in this look.
    """

    cooldown_minutes: Annotated[int, Field(ge=1, le=MOST_COOLDOWN_MINUTES)] | None = Field(
        default=None,
        description="Minutes for which the same is only counted once this one is dealt with. It lengthens the "
        "watcher's own cooldown; a shorter one changes nothing.",
    )


class GetAlerts(Arguments):
    """List the alerts that you fired, newest first."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10


class TakeSnapshot(Arguments):
    """Capture the domain's metrics now; returns an id, which alerts cite."""


class GetSnapshot(Arguments):
    """Read one snapshot by its id."""

    id: Word


class GetSnapshots(Arguments):
    """List snapshots, oldest first."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10
    offset: Annotated[int, Field(ge=0)] = 0


class Execute(Arguments):
    """Run Lua code that calls the domain's callbacks; return what you want to see: return runtime_get_memory()."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=16_000)]


class Think(Arguments):
    """Note a thought before a difficult decision; nothing happens."""

    thought: Line


def _escaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def domain_tools(found: Investigation, sandbox: Callable[[], RunsLua]) -> list[Tool]:
    """The tools that look and report: all of seed 000's but ``wait``.

    Args:
        found: Where they read and write.
        sandbox: Gives the Lua sandbox over the domain's callbacks, made at its first use.
    """
    source = found.domain.name
    return [
        Tool("set_state", lambda a: _set_state(found, a), SetState),
        Tool(
            "fire_alert",
            lambda a: _fire_alert(found, a),
            FireWatchersAlert if found.kind == "watcher" else FireAlert,
        ),
        Tool(
            "get_alerts", lambda a: _get_alerts(found, a), GetAlerts, idempotent=True, trust="untrusted", source=source
        ),
        Tool("take_snapshot", lambda _a: _take_snapshot(found), TakeSnapshot, trust="untrusted", source=source),
        Tool(
            "get_snapshot",
            lambda a: _get_snapshot(found, a),
            GetSnapshot,
            idempotent=True,
            trust="untrusted",
            source=source,
        ),
        Tool(
            "get_snapshots",
            lambda a: _get_snapshots(found, a),
            GetSnapshots,
            idempotent=True,
            trust="untrusted",
            source=source,
        ),
        Tool("execute", lambda a: _execute(found, sandbox, a), Execute, trust="untrusted", source=source),
        Tool("think", lambda a: _think(found, a), Think, idempotent=True),
    ]


def _set_state(found: Investigation, arguments: SetState) -> dict[str, Any]:
    found.set_health(arguments.state, arguments.reason)
    return {"state": arguments.state}


def _fire_alert(found: Investigation, arguments: FireAlert) -> dict[str, Any]:
    minutes = arguments.cooldown_minutes if isinstance(arguments, FireWatchersAlert) else None
    try:
        alert, verdict = found.fire(
            anomaly_type=arguments.type,
            severity=arguments.severity,
            context=arguments.context,
            observation=arguments.observation,
            hypothesis=arguments.hypothesis,
            snapshot_ids=arguments.snapshot_ids,
            cooldown=None if minutes is None else minutes * 60.0,
        )
    except ToolError as refusal:
        found.refused(str(refusal))
        raise
    answer: dict[str, Any] = {"alert_id": alert.id, "result": str(verdict)}
    if alert.numbers_verified is not None:
        answer["numbers_verified"] = alert.numbers_verified
    if alert.unverified_numbers:
        answer["not_found"] = list(alert.unverified_numbers)
    return answer


def _get_alerts(found: Investigation, arguments: GetAlerts) -> list[dict[str, Any]]:
    alerts = found.alerts()[::-1][: arguments.limit]
    found.emit("get_alerts", count=len(alerts))
    hidden = {"snapshots", "evidence", "node", "instance"}
    return [
        {**alert.model_dump(mode="json", exclude=hidden), "snapshot_ids": [s.id for s in alert.snapshots]}
        for alert in alerts
    ]


def _take_snapshot(found: Investigation) -> dict[str, Any]:
    snapshot = found.take_snapshot()
    found.ledger.saw_snapshots([snapshot])
    found.emit("take_snapshot", snapshot_id=snapshot.id)
    return _view(snapshot)


def _get_snapshot(found: Investigation, arguments: GetSnapshot) -> dict[str, Any]:
    (snapshot,) = found.find_snapshots([arguments.id])
    found.ledger.saw_snapshots([snapshot])
    found.emit("get_snapshot", snapshot_id=snapshot.id)
    return _view(snapshot)


def _get_snapshots(found: Investigation, arguments: GetSnapshots) -> dict[str, Any]:
    kept = found.snapshots()
    chosen = kept[arguments.offset : arguments.offset + arguments.limit]
    found.ledger.saw_snapshots(chosen)
    found.emit("get_snapshots", count=len(chosen))
    return {"total": len(kept), "snapshots": [_view(snapshot) for snapshot in chosen]}


def _execute(found: Investigation, sandbox: Callable[[], RunsLua], arguments: Execute) -> Any:
    code = arguments.code
    found.emit("execute_start", code=code)
    began = clock.monotonic()
    try:
        result = sandbox().run(code)
    except LuaError as error:
        found.emit(
            "execute_error", {"duration": clock.monotonic() - began}, code=code, reason=str(error), trust="untrusted"
        )
        # Lua may raise what a callback gave it, so this text is from outside as well.
        raise ToolError("The Lua code failed: ", str(error)) from error
    found.ledger.saw(result)
    found.emit("execute_complete", {"duration": clock.monotonic() - began}, code=code, result=result, trust="untrusted")
    return {"result": result}


def _think(found: Investigation, arguments: Think) -> dict[str, Any]:
    found.emit("think", thought=arguments.thought)
    return {"recorded": True}  # not the thought again: it may quote text from outside


def _view(snapshot: Snapshot) -> dict[str, Any]:
    return snapshot.model_dump(mode="json")
