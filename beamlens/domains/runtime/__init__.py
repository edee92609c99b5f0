"""Domain `runtime`: the Python runtime of this process."""

from beamlens.domains.runtime.domain import RuntimeDomain

__all__ = ["RuntimeDomain"]
