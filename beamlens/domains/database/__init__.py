"""Domain `database`: the statements, the pool and the server behind a SQLAlchemy engine."""

from beamlens.domains.database.domain import DatabaseDomain
from beamlens.domains.database.store import QueryStore

__all__ = ["DatabaseDomain", "QueryStore"]
