"""Domain `gc`: the garbage collector of this process."""

from beamlens.domains.gc.domain import GcDomain

__all__ = ["GcDomain"]
