"""Domain `vm_events`: times in which the interpreter, a loop or a lock kept everybody waiting."""

from beamlens.domains.vm_events.domain import VmEventsDomain

__all__ = ["VmEventsDomain"]
