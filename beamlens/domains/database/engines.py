"""What is an engine, and what its pool can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def sync_engine(engine: object) -> Engine:
    """The engine that does the work: itself, or the one inside of an AsyncEngine.

    Raises:
        TypeError: It is no engine of SQLAlchemy 2; says what to give.
    """
    try:
        from sqlalchemy.engine import Engine
    except ImportError:
        raise TypeError("SQLAlchemy is not installed: pip install 'beamlens[database]'") from None
    inner = getattr(engine, "sync_engine", engine)
    if not isinstance(inner, Engine):
        given = "None" if engine is None else type(engine).__name__
        raise TypeError(f"engine must be what create_engine() or create_async_engine() returned, not {given}")
    return inner


def pool_numbers(engine: Engine | None) -> tuple[int | None, int | None, int | None]:
    """Size, connections taken, and the most that are given (``None``: without end, or a pool without that number)."""
    if engine is None:
        return None, None, None
    pool: Any = engine.pool
    size, checked_out = _ask(pool, "size"), _ask(pool, "checkedout")
    overflow = getattr(pool, "_max_overflow", None)
    limit = size + overflow if size is not None and type(overflow) is int and overflow >= 0 and size > 0 else None
    return size, checked_out, limit


def _ask(pool: Any, name: str) -> int | None:
    method = getattr(pool, name, None)
    try:
        found = None if method is None else method()
    except Exception:  # noqa: BLE001 - the host's pool
        return None
    return found if type(found) is int else None
