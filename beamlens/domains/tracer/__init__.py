"""Domain `tracer`: watches the calls of one function for a minute."""

from beamlens.domains.tracer.domain import TracerDomain

__all__ = ["TracerDomain"]
