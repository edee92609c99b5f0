"""Domain `overload`: queues that grow faster than they drain, and what their consumers do."""

from beamlens.domains.overload.domain import OverloadDomain

__all__ = ["OverloadDomain"]
