"""Domain `ports`: descriptors and sockets of this process."""

from beamlens.domains.ports.domain import PortsDomain

__all__ = ["PortsDomain"]
