"""A domain's numbers at one moment."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from beamlens.findings.wire import AwareTime, Wire, new_id, utc_now


class Snapshot(Wire):
    """A domain's metrics at one moment.

    Attributes:
        id: 16 hex digits; alerts cite it.
        captured_at: When, UTC.
        data: Metric name to JSON value; ``None`` with a reason under ``"_unavailable"`` where it cannot be had.
    """

    id: str = Field(default_factory=new_id)
    captured_at: AwareTime = Field(default_factory=utc_now)
    data: dict[str, Any]
