"""Supervision trees, actors and child processes of this process."""

from beamlens.domains.sup.domain import SupDomain
from beamlens.domains.sup.store import SupStore

__all__ = ["SupDomain", "SupStore"]
