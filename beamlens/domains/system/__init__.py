"""Domain `system`: the machine or container that this process runs on."""

from beamlens.domains.system.domain import SystemDomain

__all__ = ["SystemDomain"]
