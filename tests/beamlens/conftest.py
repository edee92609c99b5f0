"""See `tests.support.isolation`."""

from tests.support.isolation import check_events, leaves_nothing_behind

__all__ = ["check_events", "leaves_nothing_behind"]
