"""The options of the `anomaly` domain, checked."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from beamlens.errors import ConfigError

_LEAST_INTERVAL_MS = 100.0
_MOST_HISTORY = 2000


@dataclass(frozen=True, slots=True)
class Options:
    """How it watches.

    Attributes:
        collection_interval_ms: Between two collections.
        learning_duration_ms: How long it only learns, once; what it learned survives a restart.
        warm_up_ms: How long after each start of the process nothing is judged.
        z_threshold: Standard deviations from its baseline that a metric must exceed, each time.
        consecutive_required: Collections in a row in which the same metric must.
        cooldown_ms: After an escalation, none for so long.
        history_minutes: What the baseline is made of.
        auto_trigger: Whether an escalation asks for a run of the Coordinator.
        max_triggers_per_hour: Most such runs within any hour, over restarts too.
        auto_save_interval_ms: Between two saves, where there is a state directory.
        read_timeout_ms: How long one domain's numbers are waited for.
    """

    collection_interval_ms: float = 30_000
    learning_duration_ms: float = 7_200_000
    warm_up_ms: float = 600_000
    z_threshold: float = 3.0
    consecutive_required: int = 3
    cooldown_ms: float = 900_000
    history_minutes: float = 60
    auto_trigger: bool = True
    max_triggers_per_hour: int = 3
    auto_save_interval_ms: float = 300_000
    read_timeout_ms: float = 2_000

    def __post_init__(self) -> None:
        """Check each.

        Raises:
            ConfigError: One is out of range; names it.
        """
        least: dict[str, float] = {
            "collection_interval_ms": _LEAST_INTERVAL_MS,
            "learning_duration_ms": 0,
            "warm_up_ms": 0,
            "z_threshold": 0,
            "cooldown_ms": 0,
            "history_minutes": 0,
            "auto_save_interval_ms": 1000,
            "read_timeout_ms": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not bound <= value < math.inf:
                raise ConfigError(f"{name} must be a number of at least {bound:g}, not {value!r}", field=name)
        for name, bound in {"consecutive_required": 1, "max_triggers_per_hour": 0}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < bound:
                raise ConfigError(f"{name} must be a whole number of at least {bound}, not {value!r}", field=name)
        if not isinstance(self.auto_trigger, bool):
            raise ConfigError(f"auto_trigger must be True or False, not {self.auto_trigger!r}", field="auto_trigger")

    @property
    def interval(self) -> float:
        """Seconds between two collections."""
        return self.collection_interval_ms / 1000

    @property
    def history(self) -> int:
        """Values that a baseline is made of; whatever the interval, as many as fit into the minutes."""
        return max(10, min(_MOST_HISTORY, round(self.history_minutes * 60 / self.interval)))


def names() -> list[str]:
    """The options that exist."""
    return [field.name for field in dataclasses.fields(Options)]


def make(given: dict[str, Any]) -> Options:
    """Options from keywords.

    Raises:
        ConfigError: One does not exist, or is out of range; names it, and the choices.
    """
    if unknown := sorted(given.keys() - set(names())):
        text = f"there is no option {unknown[0]!r}; the options are: {', '.join(names())}"
        raise ConfigError(text, field=unknown[0])
    return Options(**given)
