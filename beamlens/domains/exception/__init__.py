"""Domain `exception`: what was raised, handled or not."""

from beamlens.domains.exception.domain import ExceptionDomain
from beamlens.domains.exception.store import ExceptionStore

__all__ = ["ExceptionDomain", "ExceptionStore"]
