"""Domain `allocator`: where the memory is that Python and C hold."""

from beamlens.domains.allocator.domain import AllocatorDomain

__all__ = ["AllocatorDomain"]
