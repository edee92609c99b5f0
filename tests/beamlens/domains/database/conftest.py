"""See `tests.support.postgres`."""

from tests.support.postgres import postgres

__all__ = ["postgres"]
